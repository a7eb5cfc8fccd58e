"""`ft-export`: published weights to a bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ftsdk.bundle import Bundle
from ftsdk.cli.console import err, exit_on_error, out

_EXAMPLE = "Example: ft-export model_parameter/ --architecture xl --out xl.bundle"
_STEPS = ("loading", "reference", "exporting", "gate")

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def export(
    weights: Annotated[Path, typer.Argument(help="The folder that the download script made.")],
    out_path: Annotated[Path, typer.Option("--out", help="The bundle directory to write.")],
    architecture: Annotated[
        str, typer.Option(help="xl, base, or a JSON file with the dimensions.")
    ] = "xl",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the gate as JSON.")] = False,
) -> None:
    """Turn published weights into a bundle: ONNX graphs, tokenizers, golden sample, hashes.

    Every exported stage is held against float32; a difference over the gate leaves no bundle.
    """
    with exit_on_error():
        from ft_export.architecture import load_architecture
        from ft_export.exporter import export_bundle
        from ft_export.plan import plan_export

        described = load_architecture(architecture)
        plan = plan_export(weights, described, _bundle_name(out_path))
        with _progress() as progress:
            task = progress.add_task("", total=len(plan.stages) * len(_STEPS) + 1)

            def show(stage: str, step: str) -> None:
                progress.update(task, advance=1, description=f"{stage}: {step}")

            bundle = export_bundle(plan, out_path, show, overwrite)
    _show(bundle, as_json)


def _bundle_name(path: Path) -> str:
    return re.sub(r"\.bundle$", "", path.name)


def _progress() -> Progress:
    columns = TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn()
    return Progress(*columns, console=err, transient=True)


def _show(bundle: Bundle, as_json: bool) -> None:
    manifest = bundle.manifest
    if as_json:
        typer.echo(manifest.model_dump_json(include={"name", "gate", "dead_tensors", "precision"}))
        return
    table = Table("stage", "tensor", "max abs", "relative", title="difference to float32")
    for entry in manifest.gate:
        numbers = f"{entry.max_absolute:.1e}", f"{entry.relative:.1e}"
        table.add_row(entry.stage, entry.tensor, *numbers)
    out.print(table)
    size = sum(entry.size for entry in manifest.files.values())
    out.print(
        f"{bundle.path}: {size / 1e6:.1f} MB, {len(manifest.files)} files, "
        f"{manifest.dead_tensors} tensors of the weights are not needed and were left out",
        soft_wrap=True,
    )


def main() -> None:
    """Run the command."""
    app()
