"""`ft-export --engines`: the builds' progress, and the table of what was built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ftsdk.bundle import Bundle
from ftsdk.cli.console import bars, out

if TYPE_CHECKING:
    from ft_export.tensorrt.engines import Built

#: Seconds over which the time that is left is estimated: a large stage takes minutes.
_ESTIMATE_SECONDS = 3600.0


class BuildBars:
    """How far all builds together are, counted in bytes of graph, and how far the present one is.

    Args:
        progress: where the bars are.
        sizes: bytes of each stage's graph.
        targets: how many GPUs are built for.
    """

    def __init__(self, progress: Progress, sizes: dict[str, int], targets: int) -> None:
        self._progress, self._sizes = progress, sizes
        self._total, self._behind = float(targets * sum(sizes.values())), 0.0
        self.whole = progress.add_task("all stages", total=self._total)
        self.phase = progress.add_task("")

    def step(self, stage: str, phase: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of a stage's phase are behind."""
        text = f"{stage}: {phase}"[:32]
        self._progress.update(self.phase, description=text, completed=done, total=total)
        within = self._sizes[stage] * done / max(total, 1)
        self._progress.update(self.whole, completed=self._behind + within)

    def built(self, one: Built) -> None:
        """Count a stage as done; one that was there already is taken out of what there is to do."""
        if one.seconds:
            self._behind += self._sizes[one.stage]
        else:
            self._total -= self._sizes[one.stage]
        self._progress.update(self.whole, completed=self._behind, total=self._total)


def show_engines(bundle: Bundle, targets: Sequence[str], as_json: bool) -> None:
    """Build a bundle's engines and print what was built."""
    from ft_export.tensorrt.engines import build_engines
    from ftsdk.engines.cache import EngineCache

    cache = EngineCache.beside(bundle)
    sizes = {stage: bundle.manifest.graph_bytes(stage) for stage in bundle.manifest.stages}
    built: list[Built] = []
    with _bars(sizes, len(targets)) as bars:
        for one in build_engines(bundle, targets, bars.step, cache):
            built.append(one)
            bars.built(one)
    if as_json:
        typer.echo(json.dumps({"folder": str(cache.folder), "engines": [asdict(b) for b in built]}))
        return
    table = Table("stage", "precision", "GPU", "MB", "seconds", title="engines")
    for one in built:
        spent = f"{one.seconds:.1f}" if one.seconds else "there already"
        table.add_row(one.stage, one.precision, one.target, f"{one.size / 1e6:.1f}", spent)
    out.print(table)
    out.print(f"in {cache.folder}", soft_wrap=True)


@contextmanager
def _bars(sizes: dict[str, int], targets: int) -> Iterator[BuildBars]:
    columns = TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn()
    left = TimeRemainingColumn()
    with bars(*columns, left, speed_estimate_period=_ESTIMATE_SECONDS) as progress:
        yield BuildBars(progress, sizes, targets)
