"""The square of a picture that a model looks at: cut out, and its map put back in place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Framing = Literal["picture", "face"]
Points = NDArray[np.float64]
Pixel = TypeVar("Pixel", bound=np.generic)

#: Heads tilted by no more, in degrees, are cut out as they are: turning one resamples it, and with
#: that blurs the traces that a forgery left.
UPRIGHT = 15.0
#: Largest side in px of a map that covers the whole picture.
_MAP_SIDE = 2048
#: What OpenCV reads around a pixel when it turns a picture, in px.
_REACH = 3


@dataclass(frozen=True)
class Box:
    """A square of a picture, in px; it may reach beyond the picture's borders.

    Attributes:
        x, y: top left corner of the square before it is turned.
        side: its width and height.
        angle: degrees by which it is turned about its middle, clockwise as one sees it; its top
            is then the top of a head that is tilted as much.
    """

    x: int
    y: int
    side: int
    angle: float = 0.0

    @property
    def middle(self) -> tuple[float, float]:
        """The middle (x, y) in px."""
        return self.x + self.side / 2, self.y + self.side / 2

    def to_picture(self, points: Points) -> Points:
        """Return the places [N, 2] in the picture of points in the square, both in px."""
        moved: Points = (points - self.side / 2) @ _turn(self.angle).T + self.middle
        return moved

    def from_picture(self, points: Points) -> Points:
        """Return the places [N, 2] in the square of points in the picture, both in px."""
        moved: Points = (points - self.middle) @ _turn(self.angle) + self.side / 2
        return moved

    def holds(self, point: tuple[float, float]) -> bool:
        """Say whether a point of the picture lies in the square."""
        inside = self.from_picture(np.array([point]))
        return bool((inside > 0).all() and (inside < self.side).all())


def _turn(degrees: float) -> Points:
    """Return the matrix [2, 2] that turns clockwise as one sees it, y being down."""
    radians = math.radians(degrees)
    cosine, sine = math.cos(radians), math.sin(radians)
    return np.array([[cosine, -sine], [sine, cosine]])


def aligned_box(left_eye: Points, right_eye: Points, mouth: Points) -> Box:
    """Return the square that FFHQ shows of a face, turned where its head is tilted.

    Args:
        left_eye, right_eye: middle (x, y) of the eye that is left or right in an upright picture.
        mouth: middle (x, y) between its corners.

    The formula is that of `recreate_aligned_images` in https://github.com/NVlabs/ffhq-dataset
    (Karras, Laine and Aila, CVPR 2019).
    """
    eye_to_eye, eyes = right_eye - left_eye, (left_eye + right_eye) / 2
    eye_to_mouth = mouth - eyes
    across = eye_to_eye + eye_to_mouth[::-1] * (1, -1)
    half = max(2.0 * float(np.hypot(*eye_to_eye)), 1.8 * float(np.hypot(*eye_to_mouth)))
    tilt = math.degrees(math.atan2(across[1], across[0])) if across.any() else 0.0
    return square(eyes + 0.1 * eye_to_mouth, 2 * half, tilt)


def square(middle: Points, side: float, tilt: float = 0.0) -> Box:
    """Return the square about `middle`, turned by `tilt` degrees unless that is nearly upright.

    Nearly a quarter or a half turn becomes one: that moves pixels and blurs none.
    """
    quarter = 90.0 * round(tilt / 90)
    angle = quarter if abs(tilt - quarter) <= UPRIGHT else tilt
    whole = max(round(side), 1)
    x, y = (round(float(centre) - whole / 2) for centre in middle)
    return Box(x, y, whole, 180.0 if angle == -180 else angle)


def cut_out(pixels: NDArray[Pixel], box: Box, size: int | None = None) -> NDArray[Pixel]:
    """Return what `box` shows, upright; beyond the picture its border is repeated.

    Args:
        pixels: `[H, W, ...]`; of bool the nearest is taken, of numbers a cubic mean.
        box: where to look.
        size: side in px of a turned box's cut-out; None is the box's own.

    Returns:
        `[side, side, ...]`, untouched pixels, of an upright box; else `[size, size, ...]`.
    """
    if not box.angle:
        return _repeated(pixels, box.x, box.y, box.side)
    size = size or box.side
    # Only what the turned square covers is handed to OpenCV, which takes 32,767 px at most.
    reach = math.ceil(box.side * math.sqrt(0.5)) + _REACH
    left, top = (math.floor(centre) - reach for centre in box.middle)
    around: Any = _repeated(pixels, left, top, 2 * reach + 1)
    matrix = _to_pixels(box, size, left, top)
    exact = around.dtype == np.bool_
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if exact else cv2.INTER_CUBIC)
    numbers = around.view(np.uint8) if exact else around
    turned: Any = cv2.warpAffine(numbers, matrix, (size, size), flags=flags)
    upright: NDArray[Pixel] = turned.view(around.dtype)
    return upright


def _repeated(pixels: NDArray[Pixel], left: int, top: int, side: int) -> NDArray[Pixel]:
    """Return the square [side, side, ...] at (left, top); beyond the picture its border repeats."""
    rows, above_below = _within(top, side, pixels.shape[0])
    columns, beside = _within(left, side, pixels.shape[1])
    inside = np.ascontiguousarray(pixels[rows, columns])
    if not any(above_below + beside):
        return inside
    return np.pad(inside, (above_below, beside, *[(0, 0)] * (pixels.ndim - 2)), mode="edge")


def _within(begin: int, side: int, length: int) -> tuple[slice, tuple[int, int]]:
    """Return which of `length` pixels `side` from `begin` on show, and how many lie off each end.

    At least one shows, so that there is one to repeat.
    """
    shown = slice(min(max(begin, 0), length - 1), max(min(begin + side, length), 1))
    before = min(max(-begin, 0), side - 1)
    return shown, (before, side - before - (shown.stop - shown.start))


def _to_pixels(box: Box, size: int, left: float, top: float) -> Points:
    """Return the matrix [2, 3] from pixels of a cut-out to those of a picture cut at (left, top).

    OpenCV counts from the middle of a pixel, a box from its corner.
    """
    turn = _turn(box.angle) * (box.side / size)
    corner = box.to_picture(np.zeros((1, 2)))[0] - (left, top)
    return np.column_stack([turn, corner + turn @ (0.5, 0.5) - 0.5])


def place(
    probabilities: NDArray[np.float32], box: Box | None, height: int, width: int
) -> NDArray[np.float32]:
    """Return a map of the whole picture that is 0 outside `box`.

    `probabilities` [M, M] covers the box. The map keeps the box at M px where its long side stays
    within 2048 px, which bounds memory however small the face; None returns the map as it is.
    """
    if box is None:
        return probabilities
    scale = min(probabilities.shape[0] / box.side, _MAP_SIDE / max(height, width))
    shape = max(round(height * scale), 1), max(round(width * scale), 1)
    side = max(round(box.side * scale), 1)
    inside = cv2.resize(probabilities, (side, side), interpolation=cv2.INTER_AREA)
    if box.angle:
        return _turned_back(inside, box, shape, scale)
    canvas = np.zeros(shape, np.float32)
    top, left = round(box.y * scale), round(box.x * scale)
    y, x = _visible(top, side, shape[0]), _visible(left, side, shape[1])
    canvas[y[0] : y[1], x[0] : x[1]] = inside[y[0] - top : y[1] - top, x[0] - left : x[1] - left]
    return canvas


def _turned_back(
    inside: NDArray[Any], box: Box, shape: tuple[int, int], scale: float
) -> NDArray[np.float32]:
    """Return the canvas of `shape`, the picture at `scale`, with a turned box's map in it."""
    matrix = _to_pixels(box, inside.shape[0], 0, 0) * scale
    matrix[:, 2] += 0.5 * (scale - 1)  # the middle of the first pixel, at this scale
    canvas = cv2.warpAffine(inside, matrix, shape[::-1], flags=cv2.INTER_LINEAR)
    return canvas.astype(np.float32, copy=False)


def united(
    maps: Sequence[NDArray[np.float32]], boxes: Sequence[Box], height: int, width: int
) -> NDArray[np.float32]:
    """Return the largest value at each place of maps, on the finest one's grid.

    Args:
        maps: maps [h, w] of the whole picture, each 0 outside its box.
        boxes: the faces', in px.
        height, width: the picture's, in px.
    """
    rows, columns = max(one.shape for one in maps)
    canvas = np.zeros((rows, columns), np.float32)
    for one, box in zip(maps, boxes, strict=True):
        # Enlarging carries a value no farther than the middle of its own grid's next pixel.
        reach = box.side * math.sqrt(0.5) + 2 * max(height / one.shape[0], width / one.shape[1])
        x, y = box.middle
        down, across = _around(y, reach, height, rows), _around(x, reach, width, columns)
        part = canvas[down, across]
        same = one.shape == canvas.shape
        fine = one[down, across] if same else _enlarged(one, canvas.shape, (down, across))
        np.maximum(part, fine, out=part)
    return canvas


def _around(middle: float, reach: float, side: int, length: int) -> slice:
    """Return what of a map's axis of `length` pixels is about `middle`, in px of `side`."""
    scale = length / side
    first = math.floor((middle - reach) * scale)
    return slice(*_visible(first, math.ceil(2 * reach * scale) + 1, length))


def _enlarged(
    one: NDArray[np.float32], shape: tuple[int, ...], part: tuple[slice, slice]
) -> NDArray[np.float32]:
    """Return `part` of a map [h, w] resized bilinearly to `shape`, middles on middles."""
    for axis, places in enumerate(part):
        last = one.shape[axis] - 1
        at = (np.arange(places.start, places.stop) + 0.5) * one.shape[axis] / shape[axis] - 0.5
        low = at.clip(0, last).astype(np.int64)
        share = np.expand_dims((at.clip(0, last) - low).astype(np.float32), 1 - axis)
        below, above = one.take(low, axis), one.take(np.minimum(low + 1, last), axis)
        one = below + share * (above - below)
    return one


def _visible(start: int, length: int, limit: int) -> tuple[int, int]:
    """Return the part of `[start, start + length)` that lies in `[0, limit)`."""
    first = min(max(start, 0), limit)
    return first, max(first, min(start + length, limit))
