"""The options of `ft-analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftsdk.cli.answers import Asked, answer
from ftsdk.cli.console import BundleOption, VersionOption
from ftsdk.files import named
from ftsdk.streaming.sources import VIDEO_SUFFIXES

_EXAMPLE = "Examples: ft-analyze face.jpg --save answers/ | ft-analyze video.mp4 --save out.mp4"

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def analyze(
    pictures: Annotated[
        list[Path],
        typer.Argument(
            parser=named,
            help="Pictures of any common format, or one video; - reads a picture from a pipe.",
        ),
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
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object a picture, nothing else; "
            "of a video one a frame, then one of the whole.",
        ),
    ] = False,
    _version: VersionOption = False,
) -> None:
    """Say where face pictures may have been manipulated, and why."""
    chosen = [name.strip() for name in regions.split(",") if name.strip()] if regions else None
    if report and len(pictures) > 1:
        raise typer.BadParameter("a report file is about one picture", param_hint="--report")
    if any(one.suffix.lower() in VIDEO_SUFFIXES for one in pictures) and (report or chosen):
        raise typer.BadParameter("a video takes no --report and no --regions")
    asked = Asked(pictures, bundle, device, chosen, beams, report, not no_report, save, as_json)
    raise typer.Exit(answer(asked))
