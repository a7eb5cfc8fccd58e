"""`ft-analyze`: where pictures may have been manipulated, and why."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ftsdk.cli.console import (
    WORK_FAILED,
    BundleOption,
    error_document,
    exit_on_error,
    out,
    print_json,
    run_app,
    show_error,
    shown,
)
from ftsdk.errors import FtsdkError
from ftsdk.files import Inputs
from ftsdk.question import known_regions
from ftsdk.result import Result
from ftsdk.streaming.sources import VIDEO_SUFFIXES
from ftsdk.trust import BundleName

if TYPE_CHECKING:
    from ftsdk.analyzer import Analyzer
    from ftsdk.events import MaskReady

_EXAMPLE = "Examples: ft-analyze face.jpg --save answers/ | ft-analyze video.mp4 --save out.mp4"

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def analyze(
    pictures: Annotated[
        list[Path], typer.Argument(help="Pictures of any common format, or one video.")
    ],
    bundle: BundleOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or a provider's.")] = "auto",
    regions: Annotated[
        str | None,
        typer.Option(help="Use these regions, comma-separated, not those the model finds."),
    ] = None,
    beams: Annotated[
        int | None, typer.Option(help="Beam search with N beams; 1 is greedy and streams.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write one picture's report as a file."),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Stop at the mask.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write overlay, mask, heat map and JSON to this directory; "
            "of a video, the overlay to this .mp4 file."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a picture, nothing else.")
    ] = False,
) -> None:
    """Say where face pictures may have been manipulated, and why."""
    chosen = [name.strip() for name in regions.split(",") if name.strip()] if regions else None
    if report and len(pictures) > 1:
        raise typer.BadParameter("a report file is about one picture", param_hint="--report")
    inputs = Inputs(pictures)
    with exit_on_error():
        for target in (report, save):
            if target:
                inputs.refuse(target)
        analyzer = _open(bundle, device, beams)
        known_regions(chosen, analyzer.bundle.manifest)
    if any(picture.suffix.lower() in VIDEO_SUFFIXES for picture in pictures):
        if report or chosen:
            raise typer.BadParameter("a video takes no --report and no --regions")
        _analyze_video(analyzer, pictures, save, not no_report, as_json)
        return
    used: set[str] = set()
    failed = False
    with analyzer:
        for picture in pictures:
            try:
                result = _analyze_one(analyzer, picture, chosen, not no_report, quiet=as_json)
                if report:
                    _write_report(result, picture, chosen, report)
                if save:
                    _save(result, save, used, inputs, quiet=as_json)
                if as_json:
                    print_json(result.to_dict())
            except FtsdkError as error:
                failed = True
                _show_failure(picture, error, as_json)
    if failed:
        raise typer.Exit(WORK_FAILED)


def _analyze_video(
    analyzer: Analyzer, pictures: list[Path], save: Path | None, report: bool, as_json: bool
) -> None:
    from ftsdk.cli.video import analyze_video

    if len(pictures) > 1:
        raise typer.BadParameter("one video at a time, without pictures", param_hint="PICTURES")
    with analyzer, exit_on_error():
        analyze_video(analyzer, pictures[0], save, report, as_json)


def _open(bundle: BundleName | None, device: str, beams: int | None) -> Analyzer:
    from ftsdk.analyzer import Analyzer

    analyzer = Analyzer(bundle, device=device)
    if beams is not None:
        analyzer.language = replace(analyzer.language, beams=beams)
    return analyzer


def _analyze_one(
    analyzer: Analyzer, picture: Path, regions: list[str] | None, report: bool, quiet: bool
) -> Result:
    if quiet:
        return analyzer.analyze(picture, regions=regions, report=report)
    from ftsdk.events import Finished, MaskReady, ReportToken

    out.print(f"[bold]{shown(picture)}[/]", soft_wrap=True)
    for event in analyzer.stream(picture, regions=regions, report=report):
        if isinstance(event, MaskReady):
            _show_regions(event)
        elif isinstance(event, ReportToken):
            out.print(shown(event.text), end="", soft_wrap=True)
        elif isinstance(event, Finished):
            _show_end(event.result)
            return event.result
    raise AssertionError("a stream always ends with Finished")


def _show_regions(event: MaskReady) -> None:
    if not event.regions:
        out.print("  no region stands out")
        return
    table = Table("region", "probability", "covered by mask", box=None, pad_edge=True)
    for region in event.regions:
        table.add_row(region.name, f"{region.probability:.2f}", f"{region.area or 0:.0%}")
    out.print(table)


def _show_end(result: Result) -> None:
    if result.report is not None:
        out.print()
    out.print(f"[bold]{shown(result.finding)}[/]", soft_wrap=True)
    for other in result.others:
        box = other.face
        where = f"face at x {box.x}, y {box.y}: " if box else ""
        out.print(shown(f"  {where}{other.finding} {other.report or ''}"), soft_wrap=True)
    for warning in (*result.picture.notes, *result.warnings):
        out.print(f"[dim]note: {shown(warning)}[/]", soft_wrap=True)
    provenance = result.provenance
    out.print(
        f"[dim]{provenance.bundle} on {provenance.device}, {result.timings['total']:.0f} ms[/]\n",
        soft_wrap=True,
    )


def _save(result: Result, directory: Path, used: set[str], inputs: Inputs, quiet: bool) -> None:
    stem = Path(result.picture.name).stem
    candidates = chain([stem], (f"{stem}-{number}" for number in count(2)))
    name = next(candidate for candidate in candidates if candidate not in used)
    used.add(name)
    paths = result.save(directory, name, inputs=inputs)
    if not quiet:
        out.print("[dim]saved " + shown(", ".join(map(str, paths.values()))) + "[/]\n",
                  soft_wrap=True)  # fmt: skip


def _write_report(result: Result, picture: Path, chosen: list[str] | None, path: Path) -> None:
    from ftsdk.report.edits import Edit, now

    edits = () if chosen is None else (Edit(now(), None, tuple(chosen), mask=False),)
    result.to_html(path, edits=edits, original=picture)


def _show_failure(picture: Path, error: FtsdkError, as_json: bool) -> None:
    if not as_json:
        show_error(error, str(picture))
        return
    failure = {"picture": {"name": str(picture)}, **error_document(error)}
    print_json(failure)


def main() -> None:
    """Run the command."""
    run_app(app)
