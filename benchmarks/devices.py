"""What `ft-bench --json` measured: a table a machine and day, and a section a document.

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
    "measured", "bundle", "picture with report, ms", "mask, ms", "first token, ms",
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
    """Write the tables `devices`, and each document's own."""
    documents = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    groups = sorted({*map(machine_and_day, documents.values())})
    tables = [grouped(documents, group) for group in groups]
    replace_section(DOCUMENT, "devices", "\n\n".join([*tables, unmeasured(documents)]))
    for name, document in documents.items():
        replace_section(DOCUMENT, f"result-{name}", f"### {name}\n\n{markdown(document)}")


def machine_and_day(document: dict[str, Any]) -> tuple[str, str]:
    """Return which device a document is of, and the day on which it was measured."""
    conditions = document["conditions"]
    device = f"{conditions['gpu'] or conditions['cpu']}, {conditions['cores']} cores"
    return device, document["created"][:10]


def grouped(documents: dict[str, dict[str, Any]], group: tuple[str, str]) -> str:
    """Return the table of what one machine did on one day."""
    table = MarkdownTable(HEAD)
    for name, document in documents.items():
        if machine_and_day(document) == group:
            table.add(row(name, document))
    return f"{group[0]}, on {group[1]}:\n\n{table}"


def unmeasured(documents: dict[str, dict[str, Any]]) -> str:
    """Return the table of devices that no document is of."""
    table = MarkdownTable(HEAD)
    for part, device in UNMEASURED.items():
        if not any(part in name for name in documents):
            table.add((device, "nano, xl", *[""] * (len(HEAD) - 2)))
    return f"Not measured yet (`ft-bench --json` there fills a row):\n\n{table}"


def row(name: str, document: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of one document."""
    p50 = {step: values["p50"] for step, values in document["milliseconds"].items()}
    conditions, memory = document["conditions"], document["memory_mib"]
    against = document.get("against")
    return (
        name,
        f"{conditions['bundle']}, {conditions['precision']}, {document['settings']['beams']} beams",
        *(f"{p50[step]:.1f}" for step in ("end_to_end", "to_mask", "to_first_token", "per_token")),
        f"{max(document['pictures_per_second'].values()):.1f}",
        f"{memory['device'] or memory['host_peak']:.0f}",
        f"{against['ratio']:.1f} x ({against['runtime']})" if against else "",
    )


if __name__ == "__main__":
    main()
