"""What this machine's NVIDIA GPU does with ftsdk, in under ten minutes and without a download.

    pip install "ftsdk[gpu,export,rtx]"
    python -m benchmarks.gpu.check --json gpu.json --markdown docs/engines.md

Each check runs in a process of its own and ends as passed, failed or skipped with its reason.
Without a GPU, what can run on the fake back end does so and is labelled so. Exit code 1 where a
check failed.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.gpu import work
from benchmarks.gpu.outcome import Outcome, Work, attempt
from benchmarks.gpu.place import ROOT, gpu_or_none
from benchmarks.gpu.preprocess import preprocessing
from benchmarks.gpu.tables import markdown
from benchmarks.gpu.variants import VARIANTS, link_bundle
from benchmarks.sections import replace_section
from ftsdk.bundle import open_bundle
from ftsdk.cli.terminal import exit_on_error
from ftsdk.doctor.hardware import check_machine
from ftsdk.doctor.packages import check_packages
from ftsdk.files import write_atomically

SCHEMA_VERSION = 1
#: All checks together, and one of them, s.
ALL_SECONDS, ONE_SECONDS = 570.0, 240.0
RUNTIMES = {"cuda": "ONNX Runtime CUDA", "tensorrt": "TensorRT"}

app = typer.Typer(add_completion=False)


@dataclass
class Checks:
    """The checks so far, and until when new ones may begin."""

    folder: Path
    began: float = field(default_factory=time.perf_counter)
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, name: str, work: Work, *arguments: Any) -> bool:
        """Do one check, and return whether it passed."""
        left = ALL_SECONDS - (time.perf_counter() - self.began)
        if left < 1:
            self.skip(name, "the ten minutes are over")
            return False
        outcome = attempt(name, work, arguments, min(left, ONE_SECONDS))
        self._add(outcome)
        return outcome.status == "passed"

    def skip(self, name: str, reason: str) -> None:
        """Note a check that cannot be done."""
        self._add(Outcome(name, "skipped", reason=reason))

    def _add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        typer.echo(f"{outcome.status:>8}  {outcome.name}  {outcome.reason[:160]}", err=True)


@app.command(help=__doc__)
def check(
    bundle: Annotated[
        Path | None,
        typer.Option(help="Check this bundle as it is. [default: nano, also in float16 and int4]"),
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write everything.")] = None,
    markdown_path: Annotated[
        Path | None,
        typer.Option("--markdown", help="Write the tables into this GPU's section of a document."),
    ] = None,
) -> None:
    with tempfile.TemporaryDirectory() as folder, exit_on_error():
        checks = Checks(Path(folder))
        _run_all(checks, bundle)
    document = _document(checks)
    text = markdown(document)
    if json_path:
        write_atomically(json_path, (json.dumps(document, indent=1) + "\n").encode())
    if markdown_path:
        name = re.sub(r"[^a-z0-9]+", "-", (document["gpu"] or "no gpu").split(",")[0].lower())
        replace_section(markdown_path, f"gpu-{name}", text)
    Console().print(Markdown(text))
    if any(outcome.status == "failed" for outcome in checks.outcomes):
        raise typer.Exit(1)


def _run_all(checks: Checks, chosen: Path | None) -> None:
    checks.run("kernel", work.kernel)
    checks.run("CUDA preprocessing equals the CPU's", preprocessing, checks.folder)
    source, stored = open_bundle(chosen), checks.folder / "reference.npz"
    name = source.manifest.name
    bundles = {name: source.path}
    if not checks.run(f"ONNX Runtime CPU, {name}", work.reference, source.path, stored):
        return
    for precision in () if chosen else VARIANTS:
        out = checks.folder / f"{precision}.bundle"
        if checks.run(f"{name} in {precision}", work.variant, source.path, precision, out):
            bundles[precision] = out
    for runtime, words in RUNTIMES.items():
        for label, path in bundles.items():
            if runtime == "cuda" and gpu_or_none() is None:
                checks.skip(f"{words}, {label}", "no GPU that cuda-bindings finds")
                continue
            copy = link_bundle(open_bundle(path), checks.folder / f"{runtime}-{label}.bundle")
            arguments = runtime, copy, stored, path == source.path
            checks.run(f"{words}, {label}", work.runtime, *arguments)


def _document(checks: Checks) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "gpu": gpu_or_none(),
        "machine": check_machine().facts,
        "versions": check_packages().facts,
        "seconds": round(time.perf_counter() - checks.began, 1),
        "checks": [asdict(outcome) for outcome in checks.outcomes],
    }


def _commit() -> str | None:
    """Return the commit, with a + where files were changed since."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


if __name__ == "__main__":
    app()
