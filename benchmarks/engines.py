"""The plans of some bundles for GPUs that are not here: their size, build time and memory.

    python -m benchmarks.engines nano.bundle nano-int8.bundle --section nano
    python -m benchmarks.engines xl-int8.bundle --gpu sm_89 --stage language_decoder --section xl

The table goes into docs/engines.md. Each plan is built in a process of its own, so that its peak
memory is that of one build; none is kept.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from benchmarks.sections import MarkdownTable
from ft_export.tensorrt.engines import build_plan, find_target
from ftsdk.bundle import open_bundle
from ftsdk.cli.console import err
from ftsdk.engines.profile import profile_of
from ftsdk.machine import cores, cpu_name, host_peak_mib

DOCUMENT = Path(__file__).parents[1] / "docs" / "engines.md"

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Measured:
    """One build: megabytes of plan, seconds, and gigabytes of memory at its peak."""

    plan: float
    seconds: float
    peak: float


@app.command(help=__doc__)
def measure(
    bundles: Annotated[list[Path], typer.Argument()],
    section: Annotated[str, typer.Option(help="The section of docs/engines.md to replace.")],
    gpu: Annotated[list[str], typer.Option()] = ["sm_86", "sm_89", "sm_120"],  # noqa: B006
    stage: Annotated[list[str], typer.Option(help="Of these stages only.")] = [],  # noqa: B006
) -> None:
    """Build every stage of `bundles` for every GPU and publish the table."""
    head = ["bundle", "stage", "precision", "graph MB"]
    head += [f"{name}: MB, s" for name in gpu]
    rows = []
    for path in bundles:
        bundle = open_bundle(path)
        for name, entry in bundle.manifest.stages.items():
            if not stage or name in stage:
                megabytes = f"{bundle.manifest.graph_bytes(name) / 1e6:.1f}"
                rows.append((path, name, entry.precision, megabytes))
    table = MarkdownTable([*head, "peak GB"])
    for path, name, precision, size in track(rows, "building", console=err):
        found = [_in_a_process(path, name, one) for one in gpu]
        cells = [f"{one.plan:.1f}, {one.seconds:.1f}" for one in found]
        peak = f"{max(one.peak for one in found):.2f}"
        table.add([path.stem, name, precision, size, *cells, peak])
    note = f"{find_target(gpu[0]).runtime} on {cores()} cores of {cpu_name()}, without a GPU."
    table.publish(section, note, DOCUMENT)


def _in_a_process(path: Path, stage: str, gpu: str) -> Measured:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_build, path, stage, gpu).result()


def _build(path: Path, stage: str, gpu: str) -> Measured:
    bundle = open_bundle(path)
    graph, start = bundle.graph(stage), time.perf_counter()
    plan = build_plan(graph, profile_of(bundle), find_target(gpu), lambda *_: None, stage)
    seconds = time.perf_counter() - start
    return Measured(plan.nbytes / 1e6, seconds, host_peak_mib() * (1 << 20) / 1e9)


if __name__ == "__main__":
    app()
