"""Where frames come from: pictures, folders, videos, cameras, network streams, iterators."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import OptionError, SourceError, SourceLostError, SourceNotFoundError
from ftsdk.imaging.decode import PICTURE_SUFFIXES
from ftsdk.text import is_address, without_credentials

VIDEO_SUFFIXES = frozenset(
    (
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".ts", ".webm", ".wmv"),
    )
)
"""What video files are called, in lower case."""
_SQUARED = "The video's pixels are {:.3g} times as wide as high; each frame was stretched."
_MOST_ASPECT = 4


@dataclass(frozen=True)
class Shot:
    """A frame as it comes: what `Analyzer.analyze` takes, its name, and the video's clock in s.

    `notes` are of what was done to it on the way here.
    """

    image: Any
    name: str
    seconds: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VideoFacts:
    """What a video says of itself.

    Attributes:
        rate: frames a second in the mean; 25 where it does not say.
        frames: how many; 0 where it does not say.
        pixel_aspect: width of a pixel over its height.
    """

    rate: float
    frames: int
    pixel_aspect: float

    @property
    def seconds(self) -> float:
        """How long it is; 0 where it does not say."""
        return self.frames / self.rate


class Source(ABC):
    """Something that frames come from.

    Attributes:
        name: for people; without credentials.
        live: it goes on by itself and has no end, so an end is a loss, and frames can be missed.
        unrelated: each frame is a picture of its own, so each is worth a report.
    """

    name: str
    live = False
    unrelated = False

    @abstractmethod
    def frames(self) -> Iterator[Shot]:
        """Yield frames from the start, or from now; may be called again after a loss.

        Raises:
            SourceNotFoundError: it cannot be opened.
            SourceLostError: it died.
        """


class Pictures(Source):
    """Files one after the other; an iterable of paths relative to `root`."""

    unrelated = True

    def __init__(self, root: Path, names: Callable[[], Iterable[str]]) -> None:
        self.name, self._root, self._names = str(root), root, names

    def frames(self) -> Iterator[Shot]:
        for name in self._names():
            yield Shot(self._root / name, name)


class Frames(Source):
    """Any iterable of what `Analyzer.analyze` takes."""

    def __init__(self, frames: Iterable[Any], name: str = "frames") -> None:
        self.name, self._frames = name, frames

    def frames(self) -> Iterator[Shot]:
        with _lost_with_reason(self.name):
            for index, image in enumerate(self._frames):
                named = isinstance(image, str | os.PathLike)
                yield Shot(image, os.fspath(image) if named else f"frame {index}")


class LiveFrames(Source):
    """Frames of a function that opens an iterator anew, such as one's own camera's."""

    live = True

    def __init__(self, open_frames: Callable[[], Iterable[Any]]) -> None:
        self.name, self._open = getattr(open_frames, "__name__", "frames"), open_frames

    def frames(self) -> Iterator[Shot]:
        with _lost_with_reason(self.name):
            yield from Frames(self._open(), self.name).frames()


class Capture(Source):
    """A video file, a camera number, or an address, read by OpenCV.

    Args:
        target: path, number, or address.
        timeout: seconds after which opening or reading an address is given up.
    """

    def __init__(self, target: Path | int | str, timeout: float) -> None:
        self.name = without_credentials(str(target))
        self.live = not isinstance(target, Path)
        self._target, self._timeout = target, timeout

    def frames(self) -> Iterator[Shot]:
        with closing(_Opened(self._open())) as opened:
            aspect = _facts(opened.capture).pixel_aspect
            notes = () if aspect == 1 else (_SQUARED.format(aspect),)
            for index, image in enumerate(opened):
                seconds = opened.capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
                yield Shot(_squared(image, aspect), f"frame {index}", seconds, notes)

    def facts(self) -> VideoFacts:
        """Return what the video says of itself.

        Raises:
            SourceNotFoundError: it cannot be opened.
        """
        with closing(_Opened(self._open())) as opened:
            return _facts(opened.capture)

    def _open(self) -> cv2.VideoCapture:
        target, patience = self._target, round(self._timeout * 1e3)
        if isinstance(target, int):
            capture = cv2.VideoCapture(target)
        elif isinstance(target, Path):
            capture = cv2.VideoCapture(str(target))
        else:
            limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
            settings = [value for limit in limits for value in (limit, patience)]
            capture = cv2.VideoCapture(target, cv2.CAP_FFMPEG, settings)
        if not capture.isOpened():
            raise _not_found(self.name, "nothing that OpenCV can open")
        return capture


class _Opened:
    """A capture as an iterator that is closed for certain."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self.capture = capture

    def __iter__(self) -> Iterator[Any]:
        while True:
            read, image = self.capture.read()
            if not read:
                return
            yield image

    def close(self) -> None:
        self.capture.release()


def _facts(capture: cv2.VideoCapture) -> VideoFacts:
    rate = capture.get(cv2.CAP_PROP_FPS)
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    aspect = across / down if across > 0 and down > 0 else 1.0
    if not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:  # a damaged header, or a hostile one
        aspect = 1.0
    turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 != 0
    return VideoFacts(
        rate if 0 < rate < math.inf else 25.0,
        max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))),
        1 / aspect if turned else aspect,
    )


def _squared(image: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """Return a frame with square pixels, as it is meant to be seen; none are thrown away."""
    if aspect == 1:
        return image
    height, width = image.shape[:2]
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def open_source(source: Any, done: Container[str] = (), timeout: float = 30.0) -> Source:
    """Return the source that a path, number, address, iterable or function stands for.

    Args:
        source: a picture, a folder of them, a video, a camera number, an address, an iterable of
            pictures, or a function that returns one.
        done: names in a folder that are left out.
        timeout: seconds after which opening or reading an address is given up.

    Raises:
        SourceNotFoundError: no such file or folder.
        OptionError: nothing of these.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, int) or (isinstance(source, str) and is_address(source)):
        return Capture(source, timeout)
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source), done, timeout)
    if callable(source):
        return LiveFrames(source)
    if isinstance(source, Iterable) and not isinstance(source, np.ndarray | bytes | bytearray):
        return Frames(source)
    raise OptionError(
        "this is no source of frames",
        expected="a path, a camera number, an address, an iterable, or a function that opens one",
        found=type(source).__name__,
        cure="pass a single picture to ftsdk.analyze, or put it into a list",
    )


def _open_path(path: Path, done: Container[str], timeout: float) -> Source:
    if path.is_dir():
        return Pictures(path, lambda: (name for name in pictures_in(path) if name not in done))
    if not path.is_file():
        raise _not_found(str(path), "no such file or folder")
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return Capture(path, timeout)
    return Pictures(path.parent, lambda: [path.name])


def pictures_in(folder: Path) -> Iterator[str]:
    """Yield the picture files in `folder` and below, by name, one folder at a time.

    Names are relative to `folder`, with `/`; hidden files and folders are left out.
    """
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES:
                yield (Path(root) / name).relative_to(folder).as_posix()


@contextmanager
def _lost_with_reason(name: str) -> Iterator[None]:
    # Foreign iterators raise anything.
    try:
        yield
    except (SourceError, GeneratorExit):
        raise
    except Exception as error:
        raise lost(name, f"{type(error).__name__}: {error}") from error


def lost(name: str, found: str) -> SourceLostError:
    """Return the error of a source that died."""
    return SourceLostError(
        f"the source {name} was lost",
        expected="frames",
        found=found,
        cure="check camera, network and address; pass retries= to wait for it to come back",
    )


def _not_found(name: str, found: str) -> SourceNotFoundError:
    return SourceNotFoundError(
        f"there is no source of frames at {name}",
        expected="a picture, a folder, a video, a camera number or an address that can be opened",
        found=found,
        cure="check the path or address, and that the camera is connected and free",
    )
