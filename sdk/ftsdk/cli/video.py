"""A video through `ft-analyze`: each frame's mask, and a report where something changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import cv2
from rich.progress import Progress

from ftsdk.analyzer import Analyzer
from ftsdk.cli.console import answer_document, err, out, print_json, show_error, shown
from ftsdk.errors import OptionError
from ftsdk.streaming.answers import FrameAnswer, FrameFailed, FrameMasked, FrameReported
from ftsdk.streaming.sources import Capture, open_source
from ftsdk.streaming.watching import watch_with


def analyze_video(
    analyzer: Analyzer, path: Path, save: Path | None, report: bool, as_json: bool
) -> None:
    """Print what every report says and write the overlay of every frame to `save`.

    Raises:
        SourceNotFoundError: no such video, or OpenCV cannot read it.
        OptionError: `save` is no .mp4 file, or OpenCV cannot write it.
    """
    source = open_source(path)
    assert isinstance(source, Capture)
    rate, length = source.rate_and_length()
    answers = watch_with(analyzer, source, report="on change" if report else "never")
    with _Overlay(save, rate) if save else nullcontext() as overlay, _progress(length) as progress:
        for answer in answers:
            if overlay and isinstance(answer, FrameMasked):
                overlay.write(answer)
            if not isinstance(answer, FrameReported):
                progress.advance(progress.task_ids[0])
            _show(answer, as_json)
    if save and not as_json:
        out.print(f"[dim]saved {shown(save)}[/]", soft_wrap=True)


@contextmanager
def _progress(length: int) -> Iterator[Progress]:
    with Progress(console=err, transient=True) as progress:
        progress.add_task("frames", total=length or None)
        yield progress


def _show(answer: FrameAnswer, as_json: bool) -> None:
    if as_json:
        document = {"frame": asdict(answer.frame), **answer_document(answer)}
        print_json(document)
    elif isinstance(answer, FrameFailed):
        show_error(answer.error, answer.frame.name)
    elif isinstance(answer, FrameReported):
        out.print(f"[bold]{answer.frame.seconds:.2f} s[/]  {shown(answer.result.finding)}")
        out.print(shown(answer.result.report or ""), soft_wrap=True)


class _Overlay:
    """An MP4 file that appears whole or not at all."""

    def __init__(self, path: Path, rate: float) -> None:
        if path.suffix.lower() != ".mp4":
            raise _unwritable(path, "another suffix")
        self._path, self._rate = path, rate
        self._partial = path.with_name(f".{path.stem}.partial.mp4")
        self._writer: cv2.VideoWriter | None = None

    def write(self, answer: FrameMasked) -> None:
        """Add one frame with its mask drawn over it."""
        drawn = answer.result.plot()
        if self._writer is None:
            size = drawn.shape[1], drawn.shape[0]
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._partial), codec, self._rate, size)
            if not self._writer.isOpened():
                raise _unwritable(self._path, "a place or a size that OpenCV cannot write")
        self._writer.write(drawn)

    def __enter__(self) -> _Overlay:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if kind is not None:
            self._partial.unlink(missing_ok=True)
            return
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
        self._partial.replace(self._path)


def _unwritable(path: Path, found: str) -> OptionError:
    return OptionError(
        f"the video {path} cannot be written",
        expected="a .mp4 file in a directory that can be written",
        found=found,
        cure="pass --save out.mp4",
    )
