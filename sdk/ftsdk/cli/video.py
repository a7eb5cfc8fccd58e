"""A video through `ft-analyze`: each frame's mask, and a report where something changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import Progress

from ftsdk.analyzer import Analyzer
from ftsdk.cli.console import Stop, answer_document, err, out, shown
from ftsdk.cli.terminal import WORK_FAILED, print_json, show_error
from ftsdk.errors import FtsdkError, OptionError, SourceEmptyError
from ftsdk.files import Inputs, saving
from ftsdk.streaming.answers import FrameAnswer, FrameFailed, FrameMasked, FrameReported
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.recording import open_recording
from ftsdk.streaming.sources import Capture, VideoFacts, open_source
from ftsdk.streaming.watching import watch_with


@dataclass
class _Account:
    """What became of the frames so far."""

    masked: int = 0
    failed: int = 0
    notes: tuple[str, ...] = ()
    failure: FtsdkError | None = None


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
    if save and save.suffix.lower() != ".mp4":
        raise _no_mp4(save)
    source = open_source(path)
    assert isinstance(source, Capture)
    facts, account, saved = source.facts(), _Account(), None
    with _progress(facts.frames) as progress:
        answers = watch_with(
            analyzer, source, WatchOptions(report="on change" if report else "never")
        )
        told = _told(answers, account, progress, as_json)
        if save:
            saved = _save(told, save, path, facts, account)
        else:
            deque(told, maxlen=0)
    if not account.masked:
        raise _empty(path, account)
    _conclude(account, saved, as_json)


def _told(
    answers: Iterable[FrameAnswer], account: _Account, progress: Progress, as_json: bool
) -> Iterator[FrameMasked]:
    """Print every answer, keep account of it, and yield those that are a mask."""
    for answer in answers:
        _show(answer, as_json)
        if isinstance(answer, FrameReported):
            continue
        progress.advance(progress.task_ids[0])
        if isinstance(answer, FrameFailed):
            account.failed, account.failure = account.failed + 1, answer.error
        else:
            account.masked, account.notes = account.masked + 1, answer.result.picture.notes
            yield answer


def _show(answer: FrameAnswer, as_json: bool) -> None:
    if as_json:
        print_json({"frame": asdict(answer.frame), **answer_document(answer)})
    elif isinstance(answer, FrameFailed):
        show_error(answer.error, answer.frame.name)
    elif isinstance(answer, FrameReported):
        out.print(f"[bold]{answer.frame.seconds:.2f} s[/]  {shown(answer.result.finding)}")
        out.print(shown(answer.result.report or ""), soft_wrap=True)


def _save(
    answers: Iterator[FrameMasked], save: Path, path: Path, facts: VideoFacts, account: _Account
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
            raise SystemExit(stop.code) if stop.code else _empty(path, account)
        recording.finish(0 if stop.code else facts.seconds)
    said = f"saved {save} in {recording.codec}, {recording.sound}"
    if not stop.code:
        return said
    err.print(f"stopped: {shown(said)}, as far as {seconds:.2f} s", soft_wrap=True)
    raise SystemExit(stop.code)


def _conclude(account: _Account, saved: str | None, as_json: bool) -> None:
    if not as_json:
        for line in (*(f"note: {note}" for note in account.notes), *([saved] if saved else ())):
            out.print(f"[dim]{shown(line)}[/]", soft_wrap=True)
    if account.failed:
        of = account.failed + account.masked
        err.print(f"[bold red]error[/] {account.failed} of {of} frames could not be analysed")
        raise SystemExit(WORK_FAILED)


@contextmanager
def _progress(length: int) -> Iterator[Progress]:
    with Progress(console=err, transient=True) as progress:
        progress.add_task("frames", total=length or None)
        yield progress


def _no_mp4(path: Path) -> OptionError:
    return OptionError(
        f"the video {path} cannot be written",
        expected="a .mp4 file",
        found="another suffix",
        cure="pass --save out.mp4",
    )


def _empty(path: Path, account: _Account) -> SourceEmptyError:
    why = f", the last since {account.failure.found}" if account.failure else ""
    return SourceEmptyError(
        f"no frame of {path} could be analysed",
        expected="one frame or more that is a picture",
        found=f"{account.failed} frames that are none{why}",
        cure="play the video to see what is wrong with it; nothing was saved",
    )
