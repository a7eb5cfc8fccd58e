"""What `ft-analyze` does with what it was asked: pictures to answers on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from ftsdk.cli.terminal import (
    WORK_FAILED,
    error_document,
    exit_on_error,
    print_json,
    say,
    show_error,
)
from ftsdk.errors import FtsdkError, OptionError
from ftsdk.files import PIPE, Inputs
from ftsdk.question import known_regions
from ftsdk.result import Result
from ftsdk.streaming.sources import VIDEO_SUFFIXES
from ftsdk.trust import BundleName

if TYPE_CHECKING:
    from ftsdk.analyzer import Analyzer
    from ftsdk.events import MaskReady


class _Piped(BytesIO):
    """What came through standard input, under the name that its answer bears."""

    name = "stdin"

    @classmethod
    def read_all(cls) -> _Piped:
        """Wait for its end; where it is closed there is nothing."""
        return cls(sys.stdin.buffer.read() if sys.stdin else b"")


@dataclass(frozen=True)
class Asked:
    """What a command line asks for.

    Attributes:
        pictures: as they are named, `-` for what comes in a pipe; or one video.
        bundle, device: see `ftsdk.Analyzer`.
        regions: names to use in place of those that the model finds.
        beams: for beam search; None is as the bundle says.
        report: where the report of one picture is written.
        words: whether to write a report at all.
        save: a directory for the results' files, or the file of a video.
        as_json: print JSON and nothing else.
    """

    pictures: Sequence[Path]
    bundle: BundleName | None = None
    device: str = "auto"
    regions: Sequence[str] | None = None
    beams: int | None = None
    report: Path | None = None
    words: bool = True
    save: Path | None = None
    as_json: bool = False


def answer(asked: Asked) -> int:
    """Answer and return the code to exit with: 1 where a picture could not be analysed.

    Raises:
        SystemExit: nothing can be analysed as it was asked for; the reason was printed.
    """
    inputs, video = Inputs(asked.pictures), None
    with exit_on_error():
        for target in (asked.report, asked.save):
            if target:
                inputs.refuse(target)
        if any(picture.suffix.lower() in VIDEO_SUFFIXES for picture in asked.pictures):
            video = _only(asked.pictures)
        analyzer = _open(asked)
        known_regions(asked.regions, analyzer.bundle.manifest)
    with analyzer:
        if video is None:
            return _answer_pictures(analyzer, asked, inputs)
        from ftsdk.cli.video import analyze_video

        with exit_on_error({"video": {"name": str(video)}} if asked.as_json else None):
            analyze_video(analyzer, video, asked.save, asked.words, asked.as_json)
    return 0


def _answer_pictures(analyzer: Analyzer, asked: Asked, inputs: Inputs) -> int:
    used: set[str] = set()
    failed = False
    for picture in asked.pictures:
        piped = _Piped.read_all() if picture == PIPE else None
        try:
            result = _answer_one(analyzer, picture, piped or picture, asked)
            if asked.report:
                original = piped.getvalue() if piped else picture
                _write_report(result, original, asked.regions, asked.report)
            if asked.save:
                _save(result, asked.save, used, inputs, quiet=asked.as_json)
            if asked.as_json:
                print_json(result.to_dict())
        except FtsdkError as error:
            failed = True
            _show_failure(picture, error, asked.as_json)
    return WORK_FAILED if failed else 0


def _only(pictures: Sequence[Path]) -> Path:
    if len(pictures) == 1:
        return pictures[0]
    raise OptionError(
        "a video is analysed by itself",
        expected="one video at a time, without pictures",
        found=f"{len(pictures)} files",
        cure="call ft-analyze for each video, and once for the pictures",
    )


def _open(asked: Asked) -> Analyzer:
    from ftsdk.analyzer import Analyzer

    analyzer = Analyzer(asked.bundle, device=asked.device)
    if asked.beams is not None:
        analyzer.language = replace(analyzer.language, beams=asked.beams)
    return analyzer


def _answer_one(analyzer: Analyzer, named: Path, picture: Path | _Piped, asked: Asked) -> Result:
    if asked.as_json:
        return analyzer.analyze(picture, regions=asked.regions, report=asked.words)
    from ftsdk.events import Finished, MaskReady, ReportToken

    say(named, "bold")
    for event in analyzer.stream(picture, regions=asked.regions, report=asked.words):
        if isinstance(event, MaskReady):
            _show_regions(event)
        elif isinstance(event, ReportToken):
            say(event.text, end="")
        elif isinstance(event, Finished):
            _show_end(event.result)
            return event.result
    raise AssertionError("a stream always ends with Finished")


def _show_regions(event: MaskReady) -> None:
    if not event.regions:
        say("  no region stands out")
        return
    width = max(len(name) for name in ("region", *(region.name for region in event.regions)))
    say(f" {'region':{width}}  probability  covered by mask", "bold")
    for region in event.regions:
        say(f" {region.name:{width}}  {region.probability:<11.2f}  {region.area or 0:.0%}")


def _show_end(result: Result) -> None:
    if result.report is not None:
        say("")
    say(result.finding, "bold")
    for other in result.others:
        box = other.face
        where = f"face at x {box.x}, y {box.y}: " if box else ""
        say(f"  {where}{other.finding} {other.report or ''}")
    for warning in (*result.picture.notes, *result.warnings):
        say(f"note: {warning}", "dim")
    provenance = result.provenance
    say(f"{provenance.bundle} on {provenance.device}, {result.timings['total']:.0f} ms\n", "dim")


def _save(result: Result, directory: Path, used: set[str], inputs: Inputs, quiet: bool) -> None:
    stem = Path(result.picture.name).stem
    candidates = chain([stem], (f"{stem}-{number}" for number in count(2)))
    name = next(candidate for candidate in candidates if candidate not in used)
    used.add(name)
    paths = result.save(directory, name, inputs=inputs)
    if not quiet:
        say("saved " + ", ".join(map(str, paths.values())) + "\n", "dim")


def _write_report(
    result: Result, original: bytes | Path, chosen: Sequence[str] | None, path: Path
) -> None:
    from ftsdk.report.edits import Edit, now

    edits = () if chosen is None else (Edit(now(), None, tuple(chosen), mask=False),)
    result.to_html(path, edits=edits, original=original)


def _show_failure(picture: Path, error: FtsdkError, as_json: bool) -> None:
    if not as_json:
        show_error(error, str(picture))
        return
    failure = {"picture": {"name": str(picture)}, **error_document(error)}
    print_json(failure)
