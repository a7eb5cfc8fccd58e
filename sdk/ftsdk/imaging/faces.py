"""Finding the faces that a model is to look at, in the framing that it was trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Framing = Literal["picture", "face"]
_Face = tuple[float, float, float]

#: Where the detector's box lies in FFHQ framing, in units of the frame's side: left, top, width.
#: Mean over 60 aligned faces; its deviation is 0.014, 0.015 and 0.027.
_BOX_IN_FRAME = (0.172, 0.219, 0.656)
#: A frame that overlaps the picture this much (intersection over union) is the picture.
_ALIGNED = 0.5
#: Long side in px of the search, and the smallest face in px there: first large faces, then small.
_PASSES = ((224, 32), (1280, 32))
#: Scale step, neighbours and, around a candidate, the face's width in px and the margin in widths:
#: a coarse search proposes, a fine one around the proposal decides: a fine search everywhere takes
#: several times as long.
_COARSE, _FINE = (1.25, 2), (1.05, 4)
_FINE_WIDTH, _FINE_MARGIN = 64, 0.4
#: Widths around a candidate that the fine search allows, as shares of it.
_FINE_RANGE = (0.75, 1.34)
_SMALL_FACE = 96
#: More faces than this are not analysed; the largest are.
_MOST_FACES = 8
_LOCK = Lock()


@dataclass(frozen=True)
class Box:
    """A square of a picture, in px; it may reach beyond the picture's borders."""

    x: int
    y: int
    side: int


@dataclass(frozen=True)
class Framed:
    """What the model is to look at.

    Attributes:
        pixels: `[side, side, 3]` uint8 BGR of the face, or the whole picture.
        box: where that is; None for the whole picture.
        notes: what a reader of the answer must know about the choice.
        others: the picture's smaller faces.
    """

    pixels: NDArray[np.uint8]
    box: Box | None
    notes: tuple[str, ...] = ()
    others: tuple[Framed, ...] = ()


Finder = Callable[[NDArray[np.uint8], Framing], Framed]


def frame(pixels: NDArray[np.uint8], framing: Framing) -> Framed:
    """Return the whole picture, or its faces, the largest first, as `framing` says."""
    return Framed(pixels, None) if framing == "picture" else frame_boxes(pixels, find_faces(pixels))


def frame_boxes(pixels: NDArray[np.uint8], boxes: Sequence[Box], most: int = _MOST_FACES) -> Framed:
    """Return the first `most` faces of `boxes`, the largest first.

    It is the whole picture where that is the first face, or where there is no box.
    """
    if not boxes:
        return Framed(pixels, None, ("No face was found; the whole picture was analysed.",))
    if _overlap(boxes[0], pixels) >= _ALIGNED:
        return Framed(pixels, None, _notes(boxes[0], 1, most))
    first, *others = (
        Framed(cut_out(pixels, box), box, _notes(box, len(boxes), most)) for box in boxes[:most]
    )
    return replace(first, others=tuple(others))


def _notes(box: Box, found: int, most: int) -> tuple[str, ...]:
    notes = []
    if found > 1:
        several = "the largest was" if most == 1 else f"the {most} largest were"
        which = several if found > most else "each was"
        notes.append(f"This is one of {found} faces that were found; {which} analysed.")
    if box.side < _SMALL_FACE:
        notes.append(f"The face is only {box.side} px across; traces may be lost at that size.")
    return tuple(notes)


def find_faces(pixels: NDArray[np.uint8]) -> list[Box]:
    """Return upright frontal faces in FFHQ framing, the largest first.

    `pixels` is `[H, W, 3]` uint8 BGR; OpenCV's cascade finds them. Where there are large faces,
    much smaller ones are not looked for.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
    longest = max(grey.shape)
    for size, smallest in _PASSES:
        scale = min(1.0, size / longest)
        candidates = _detect(_shrunk(grey, scale), _COARSE, smallest, 0)
        exact = (_exact(grey, *(value / scale for value in box)) for box in candidates)
        boxes = _distinct(_in_frame(*box) for box in exact if box)
        if boxes:
            return boxes
        if scale == 1.0:
            break
    return []


def find_face_near(pixels: NDArray[np.uint8], box: Box) -> Box | None:
    """Return the face that is about where `box` was, in FFHQ framing, or None.

    `pixels` is `[H, W, 3]` uint8 BGR of the next frame.
    """
    left, top, share = _BOX_IN_FRAME
    x, y, width = box.x + left * box.side, box.y + top * box.side, share * box.side
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
    found = _exact(grey, x, y, width)
    return _in_frame(*found) if found else None


def _distinct(boxes: Iterable[Box]) -> list[Box]:
    """Return the boxes, the largest first, without those whose middle another one holds."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.side):
        middle = box.x + box.side / 2, box.y + box.side / 2
        if not any(
            other.x < middle[0] < other.x + other.side
            and other.y < middle[1] < other.y + other.side
            for other in kept
        ):
            kept.append(box)
    return kept


Pixel = TypeVar("Pixel", bound=np.generic)


def cut_out(pixels: NDArray[Pixel], box: Box) -> NDArray[Pixel]:
    """Return the `[side, side, ...]` inside `box`; beyond the picture its border is repeated."""
    rows = np.clip(np.arange(box.y, box.y + box.side), 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(box.x, box.x + box.side), 0, pixels.shape[1] - 1)
    return np.ascontiguousarray(pixels[rows[:, None], columns])


def _shrunk(grey: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = (max(round(side * scale), 1) for side in grey.shape)  # a strip stays one
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def _exact(grey: NDArray[np.uint8], x: float, y: float, width: float) -> _Face | None:
    """Return the face about `width` px wide near (x, y), or None where there is none."""
    margin = _FINE_MARGIN * width
    left, top = max(int(x - margin), 0), max(int(y - margin), 0)
    around = grey[top : int(y + width + margin), left : int(x + width + margin)]
    if 0 in around.shape:
        return None
    scale = min(1.0, _FINE_WIDTH / width)
    smallest, largest = (round(share * width * scale) for share in _FINE_RANGE)
    found = _detect(_shrunk(around, scale), _FINE, smallest, largest)
    if not found:
        return None
    x, y, width = (value / scale for value in max(found, key=lambda face: face[2]))
    return left + x, top + y, width


def _detect(
    grey: NDArray[np.uint8], effort: tuple[float, int], smallest: int, largest: int
) -> list[_Face]:
    """Return (x, y, width) of each face; a `largest` of 0 is no limit."""
    with _LOCK:
        found = _cascade().detectMultiScale(
            grey, *effort, minSize=(smallest, smallest), maxSize=(largest, largest)
        )
    return [(float(x), float(y), float(width)) for x, y, width, _ in found]


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
    return cv2.CascadeClassifier(str(path))


def _in_frame(x: float, y: float, width: float) -> Box:
    left, top, share = _BOX_IN_FRAME
    side = width / share
    return Box(round(x - left * side), round(y - top * side), max(round(side), 1))


def _overlap(box: Box, pixels: NDArray[np.uint8]) -> float:
    height, width = pixels.shape[:2]
    across = max(0, min(box.x + box.side, width) - max(box.x, 0))
    down = max(0, min(box.y + box.side, height) - max(box.y, 0))
    shared: float = across * down / (box.side**2 + width * height - across * down)
    return shared


def place(
    probabilities: NDArray[np.float32], box: Box | None, height: int, width: int
) -> NDArray[np.float32]:
    """Return a map of the whole picture that is 0 outside `box`.

    `probabilities` [M, M] covers the box. The map keeps the box at M px where its long side stays
    within 2048 px, which bounds memory however small the face; None returns the map as it is.
    """
    if box is None:
        return probabilities
    scale = min(probabilities.shape[0] / box.side, 2048 / max(height, width))
    canvas = np.zeros((max(round(height * scale), 1), max(round(width * scale), 1)), np.float32)
    top, left = round(box.y * scale), round(box.x * scale)
    side = max(round(box.side * scale), 1)
    inside = cv2.resize(probabilities, (side, side), interpolation=cv2.INTER_AREA)
    y, x = _visible(top, side, canvas.shape[0]), _visible(left, side, canvas.shape[1])
    canvas[y[0] : y[1], x[0] : x[1]] = inside[y[0] - top : y[1] - top, x[0] - left : x[1] - left]
    return canvas


def united(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the largest value at each place of `maps` [h, w], on the finest one's grid."""
    height, width = max(one.shape for one in maps)
    canvas = np.zeros((height, width), np.float32)
    for one in maps:
        np.maximum(canvas, cv2.resize(one, (width, height)), out=canvas)
    return canvas


def _visible(start: int, length: int, limit: int) -> tuple[int, int]:
    """Return the part of `[start, start + length)` that lies in `[0, limit)`."""
    first = min(max(start, 0), limit)
    return first, max(first, min(start + length, limit))
