"""Frames to a video file, each shown when and for as long as the source shows it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import OutputError
from ftsdk.streaming.sound import Sound

#: Ticks a second of MPEG's clock, which holds the times of every common frame rate.
_CLOCK = 90_000
#: x264's scale from lossless (0) to worst (51); 18 is taken for visually lossless.
_QUALITY = "18"
_LEAST_RATE = 20.0


class Recording(ABC):
    """A video that is being written; a frame is out once it is known when the next one comes.

    Args:
        path: an MP4 file, replaced if it is there.
        rate: frames a second that the source announces; its own times are kept nevertheless.
        source: the video whose sound is kept, where PyAV writes; None is silent.

    Raises:
        OSError, OutputError: the file cannot be written; from `close` also if it came out broken.
    """

    #: What the frames are encoded as.
    codec: str
    #: What became of the source's sound, in words.
    sound = "without sound"

    def __init__(self, path: Path, rate: float, source: Path | None = None) -> None:
        self._path, self._rate, self._source = path, rate, source
        self._waiting: tuple[NDArray[np.uint8], float] | None = None

    def write(self, pixels: NDArray[np.uint8], seconds: float) -> None:
        """Show `pixels` [H, W, 3] uint8 BGR from `seconds` on.

        A time that does not go on, as of files without a clock, is taken for one frame later.
        """
        if self._waiting and seconds <= self._waiting[1]:
            seconds = self._waiting[1] + 1 / self._rate
        self._flush(seconds)
        self._waiting = pixels, seconds

    def finish(self, seconds: float) -> None:
        """Show the last frame until `seconds`, or as long as others if that was before it; end."""
        if self._waiting:
            last = self._waiting[1]
            self._flush(seconds if seconds > last else last + 1 / self._rate)
        self.close()

    def _flush(self, until: float) -> None:
        if self._waiting:
            pixels, since = self._waiting
            self._waiting = None
            self._show(even_sides(pixels), since, until)

    @abstractmethod
    def _show(self, pixels: NDArray[np.uint8], since: float, until: float) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """End the file; nothing more can be written."""

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_recording(path: Path, rate: float, source: Path | None = None) -> Recording:
    """Return a recording in H.264 where PyAV is installed (`ftsdk[video]`), else in VP9."""
    if find_spec("av") is None:
        return _Vp9(path, rate, source)
    return _H264(path, rate, source)


class _H264(Recording):
    """By PyAV, with the source's times to a 90,000th of a second."""

    codec = "H.264"

    def __init__(self, path: Path, rate: float, source: Path | None = None) -> None:
        super().__init__(path, rate, source)
        import av

        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._stream: Any = None
        self._sound: Sound | None = None
        self._lengths: dict[int, int] = {}

    def _show(self, pixels: NDArray[np.uint8], since: float, until: float) -> None:
        import av

        if self._stream is None:
            self._stream = self._open(*pixels.shape[1::-1])
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.time_base = Fraction(1, _CLOCK)
        frame.pts = round(since * _CLOCK)
        self._lengths[frame.pts] = round(until * _CLOCK) - frame.pts
        self._mux(self._stream, frame)
        if self._sound:
            self._sound.copy(until)

    def _mux(self, stream: Any, frame: Any) -> None:
        for packet in stream.encode(frame):
            packet.duration = self._lengths.pop(packet.pts)  # else the last one's is guessed
            self._container.mux(packet)

    def _open(self, width: int, height: int) -> Any:
        rate = Fraction(self._rate).limit_denominator(1001)
        stream = self._container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        stream.options = {"crf": _QUALITY, "bf": "0"}  # in order, so that the end is the last's
        if self._source:
            self._sound = Sound(self._source, self._container)
            self.sound = self._sound.said
        return stream

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._mux(stream, None)
        self._container.close()


class _Vp9(Recording):
    """By OpenCV, which knows only fixed rates: a frame is repeated for as long as it is shown."""

    codec = 'VP9 (pip install "ftsdk[video]" for H.264 and sound)'

    def __init__(self, path: Path, rate: float, source: Path | None = None) -> None:
        super().__init__(path, rate, source)
        self._ticks = rate * math.ceil(_LEAST_RATE / rate)
        self._writer: cv2.VideoWriter | None = None
        self._written = 0

    def _show(self, pixels: NDArray[np.uint8], since: float, until: float) -> None:  # noqa: ARG002
        if self._writer is None:
            size = pixels.shape[1], pixels.shape[0]
            codec = cv2.VideoWriter.fourcc(*"vp09")
            name = str(self._path)
            self._writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, codec, self._ticks, size)
        # The first frame is shown from the start.
        while self._written < round(until * self._ticks):
            self._writer.write(pixels)
            self._written += 1

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        # OpenCV says nothing of what it could not write.
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        found = capture.get(cv2.CAP_PROP_FRAME_COUNT) if capture.isOpened() else 0.0
        capture.release()
        if round(found) != self._written:
            raise OutputError(
                "the video came out broken",
                expected=f"{self._written} frames that can be read again",
                found=f"{max(0, round(found))}",
                cure="see that there is room on the disk, or name another place",
            )


def even_sides(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `pixels` [H, W, 3] with even sides, as halved colours need; an edge is repeated."""
    height, width = pixels.shape[:2]
    if not (height % 2 or width % 2):
        return pixels
    replicated = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return replicated.astype(np.uint8, copy=False)
