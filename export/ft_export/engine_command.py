"""`ft-export --engines`: the builds' progress, and the table of what was built."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ftsdk.bundle import Bundle
from ftsdk.cli.console import err, out

if TYPE_CHECKING:
    from ft_export.engines import Built


def show_engines(bundle: Bundle, targets: Sequence[str], as_json: bool) -> None:
    """Build a bundle's engines and print what was built."""
    from ft_export.engines import build_engines
    from ftsdk.engines.cache import EngineCache

    cache = EngineCache.beside(bundle)
    columns = TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn()
    built: list[Built] = []
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as progress:
        whole = progress.add_task("all stages", total=len(targets) * len(bundle.manifest.stages))
        phase_task = progress.add_task("")

        def show(stage: str, phase: str, done: int, total: int) -> None:
            progress.update(
                phase_task, description=f"{stage}: {phase}"[:32], completed=done, total=total
            )

        for one in build_engines(bundle, targets, show, cache):
            built.append(one)
            progress.advance(whole)
    if as_json:
        typer.echo(json.dumps({"folder": str(cache.folder), "engines": [asdict(b) for b in built]}))
        return
    table = Table("stage", "precision", "GPU", "MB", "seconds", title="engines")
    for one in built:
        spent = f"{one.seconds:.1f}" if one.seconds else "there already"
        table.add_row(one.stage, one.precision, one.target, f"{one.size / 1e6:.1f}", spent)
    out.print(table)
    out.print(f"in {cache.folder}", soft_wrap=True)
