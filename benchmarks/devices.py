"""What `ft-bench --json` measured on each device, as one table and a section for each.

    ft-bench --device cuda:0 --json benchmarks/results/nano-on-rtx-4060.json
    python -m benchmarks.devices

Every document in benchmarks/results becomes a row of docs/benchmarks.md; a device that nobody has
measured keeps an empty one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.sections import DOCUMENT, MarkdownTable, replace_section
from ftsdk.bench.tables import markdown

RESULTS = Path(__file__).parent / "results"
HEAD = (
    "measured", "device", "bundle", "picture with report, ms", "mask, ms", "first token, ms",
    "token, ms", "pictures/s", "memory, MiB", "other runtime takes",
)  # fmt: skip
#: What the SDK is for and no one has measured yet: part of a file's name, and the row's words.
UNMEASURED = {
    "orin": "Jetson Orin (sm_87, TensorRT)",
    "rtx-30": "RTX 30 (sm_86, TensorRT-RTX)",
    "rtx-40": "RTX 40 (sm_89, TensorRT-RTX)",
    "rtx-50": "RTX 50 (sm_120, TensorRT-RTX)",
}


def main() -> None:
    """Write the table `devices`, and each document's own tables."""
    documents = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    table = MarkdownTable(HEAD)
    for name, document in documents.items():
        table.add(row(name, document))
    for part, device in UNMEASURED.items():
        if not any(part in name for name in documents):
            table.add(("", device, "nano, xl", *[""] * (len(HEAD) - 3)))
    table.publish("devices")
    for name, document in documents.items():
        replace_section(DOCUMENT, f"result-{name}", f"### {name}\n\n{markdown(document)}")


def row(name: str, document: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of one document."""
    p50 = {step: values["p50"] for step, values in document["milliseconds"].items()}
    conditions, memory = document["conditions"], document["memory_mib"]
    against = document.get("against")
    return (
        name,
        f"{conditions['gpu'] or conditions['cpu']}, {conditions['cores']} cores",
        f"{conditions['bundle']}, {conditions['precision']}, {document['settings']['beams']} beams",
        *(f"{p50[step]:.1f}" for step in ("end_to_end", "to_mask", "to_first_token", "per_token")),
        f"{max(document['pictures_per_second'].values()):.1f}",
        f"{memory['device'] or memory['host_peak']:.0f}",
        f"{against['ratio']:.1f} x ({against['runtime']})" if against else "",
    )


if __name__ == "__main__":
    main()
