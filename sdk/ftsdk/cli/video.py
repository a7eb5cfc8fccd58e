"""A video through `ft-analyze`: each frame's mask, and a report where something changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress

from ftsdk.analyzer import Analyzer
from ftsdk.cli.console import Stop, answer_document, bars, err, out, shown
from ftsdk.cli.terminal import WORK_FAILED, print_json, show_error
from ftsdk.errors import SourceEmptyError
from ftsdk.files import Inputs, require_place, saving
from ftsdk.streaming.answers import FrameAnswer, FrameFailed, FrameMasked, FrameReported
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.recording import open_recording
from ftsdk.streaming.sources import Capture, VideoFacts, open_source
from ftsdk.streaming.summary import VideoSummary
from ftsdk.streaming.watching import watch_with


def analyze_video(
    analyzer: Analyzer, path: Path, save: Path | None, report: bool, as_json: bool
) -> None:
    """Print what every report says and write the overlay of every frame to `save`.

    Raises:
        SourceNotFoundError: no such video, or OpenCV cannot read it.
        SourceEmptyError: not one of its frames could be analysed.
        OptionError: `save` is no .mp4 file.
        OverwriteError, OutputError: `save` is the video itself, or cannot be written.
        SystemExit: a frame could not be analysed, or a signal came.
    """
    if save:
        require_place(save, Inputs([path]), (".mp4",))
    source = open_source(path)
    assert isinstance(source, Capture)
    facts, summary, saved = source.facts(), VideoSummary(), None
    with _progress(facts.frames) as progress:
        answers = watch_with(
            analyzer, source, WatchOptions(report="on change" if report else "never")
        )
        told = _told(answers, summary, progress, as_json)
        if save:
            saved = _save(told, save, path, facts, summary)
        else:
            deque(told, maxlen=0)
    if not summary.masked:
        raise _empty(path, summary)
    _conclude(summary, path, facts, saved, as_json)


def _told(
    answers: Iterable[FrameAnswer], summary: VideoSummary, progress: Progress, as_json: bool
) -> Iterator[FrameMasked]:
    """Print every answer, add it to the summary, and yield those that are a mask."""
    for answer in answers:
        _show(answer, as_json)
        if isinstance(answer, FrameReported):
            continue
        progress.advance(progress.task_ids[0])
        summary.add(answer)
        if isinstance(answer, FrameMasked):
            yield answer


def _show(answer: FrameAnswer, as_json: bool) -> None:
    if as_json:
        print_json({"frame": asdict(answer.frame), **answer_document(answer)})
    elif isinstance(answer, FrameFailed):
        show_error(answer.error, answer.frame.name)
    elif isinstance(answer, FrameReported):
        finding = shown(answer.result.finding)
        out.print(f"[bold]{answer.frame.seconds:.2f} s[/]  {finding}", soft_wrap=True)
        out.print(shown(answer.result.report or ""), soft_wrap=True)


def _save(
    answers: Iterator[FrameMasked], save: Path, path: Path, facts: VideoFacts, summary: VideoSummary
) -> str:
    """Write the overlays to `save` and return what to say of it; a signal ends it early.

    Raises:
        SourceEmptyError: there was none.
        SystemExit: a signal came.
    """
    seconds = None
    with saving(save, Inputs([path])) as file, open_recording(file, facts.rate, path) as recording:
        with Stop() as stop:
            for answer in answers:
                with stop.held():
                    seconds = answer.frame.seconds
                    recording.write(answer.result.plot(), seconds)
        if seconds is None:
            raise SystemExit(stop.code) if stop.code else _empty(path, summary)
        recording.finish(0 if stop.code else facts.seconds)
    said = f"saved {save} in {recording.codec}, {recording.sound}"
    if not stop.code:
        return said
    err.print(f"stopped: {shown(said)}, as far as {seconds:.2f} s", soft_wrap=True)
    raise SystemExit(stop.code)


def _conclude(
    summary: VideoSummary, path: Path, facts: VideoFacts, saved: str | None, as_json: bool
) -> None:
    """Print what is to be said of the whole.

    Raises:
        SystemExit: a frame could not be analysed.
    """
    missing = summary.missing(facts.frames)
    if missing:
        err.print(f"note: {missing}", soft_wrap=True)
    if as_json:
        document = summary.to_dict()
        document["warnings"] += [missing] if missing else []
        print_json({"video": {"name": str(path), "frames": facts.frames}, **document})
    else:
        _print_summary(summary, saved)
    if summary.failed:
        of = summary.failed + summary.masked
        err.print(f"[bold red]error[/] {summary.failed} of {of} frames could not be analysed")
        raise SystemExit(WORK_FAILED)


def _print_summary(summary: VideoSummary, saved: str | None) -> None:
    for line in summary.lines():
        out.print(shown(line), soft_wrap=True)
    for line in (*(f"note: {note}" for note in summary.notes), *([saved] if saved else ())):
        out.print(f"[dim]{shown(line)}[/]", soft_wrap=True)


@contextmanager
def _progress(length: int) -> Iterator[Progress]:
    with bars() as progress:
        progress.add_task("frames", total=length or None)
        yield progress


def _empty(path: Path, summary: VideoSummary) -> SourceEmptyError:
    why = f", the last since {summary.failure.found}" if summary.failure else ""
    return SourceEmptyError(
        f"no frame of {path} could be analysed",
        expected="one frame or more that is a picture",
        found=f"{summary.failed} frames that are none{why}",
        cure="play the video to see what is wrong with it; nothing was saved",
    )
