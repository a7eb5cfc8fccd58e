"""A face as the model sees it, with the truth about it: framed, resized, and cut into windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from ft_forge.framing import face_box
from ft_forge.geometry import Geometry
from ft_forge.labels import labels_from_mask
from ft_forge.picture import Image
from ftsdk.imaging.framing import Box, cut_out, square
from ftsdk.regions import LABELS, LOCATED_LABELS

#: Side of the square that the model sees, in px.
SIDE = 384
_LOCATED = [LABELS.index(name) for name in LOCATED_LABELS]


@dataclass(frozen=True)
class Target:
    """What the vision stages learn for one picture of side S.

    `image` `[S, S, 3]` uint8 BGR, `mask` `[S/2, S/2]` float32 share changed,
    `maps` `[11, S/8, S/8]` float32 share inside each part, `labels` `[21]` float32.
    """

    image: Image
    mask: NDArray[Any]
    maps: NDArray[Any]
    labels: NDArray[Any]


def draw_box(points: NDArray[np.floating], rng: np.random.Generator) -> Box:
    """Draw a square about where the SDK would cut out the face with landmarks `points` [478, 2].

    Mostly as much turned as the SDK would turn it, seldom by a little for no reason.
    """
    box = face_box(points)
    middle = np.array(box.middle) + rng.normal(0, 0.025, 2) * box.side
    side = box.side * float(np.exp(rng.normal(0, 0.07)))
    tilt = box.angle + float(rng.normal(0, 3)) if box.angle else 0.0
    if not box.angle and rng.random() < 0.08:
        tilt = float(rng.uniform(-25, 25))
    return square(middle, side, tilt)


def scaled(box: Box, scale: float) -> Box:
    """Return `box` in the picture resized by `scale`."""
    return square(np.array(box.middle) * scale, box.side * scale, box.angle)


def see(image: Image, box: Box) -> Image:
    """Return the square of `image` [H, W, 3] uint8 as the SDK gives it to the model."""
    cut = cut_out(image, box, max(box.side, SIDE))
    seen = Pillow.fromarray(cut).resize((SIDE, SIDE), Pillow.Resampling.BICUBIC)
    return np.array(seen)


def seen_geometry(points: NDArray[np.floating], box: Box) -> Geometry:
    """Return where the parts of a face with landmarks `points` are in the square, `S/2` px wide."""
    half = SIDE // 2
    inside = box.from_picture(points.astype(np.float64)) * (half / box.side)
    return Geometry(inside, (half, half))


def truth(
    mask: NDArray[np.bool_], geometry: Geometry, box: Box
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return `mask`, `maps` and `labels` of a :class:`Target`.

    For a mask [H, W] of the picture, and what :func:`seen_geometry` says of its face.
    """
    half = SIDE // 2
    cut = cut_out(mask, box, max(box.side, half)).astype(np.float32)
    seen: NDArray[Any] = cv2.resize(cut, (half, half), interpolation=cv2.INTER_AREA)
    maps = np.stack([
        cv2.resize(
            np.any(geometry.label_masks(label), axis=0).astype(np.float32),
            (SIDE // 8, SIDE // 8), interpolation=cv2.INTER_AREA,
        )
        for label in LOCATED_LABELS
    ])  # fmt: skip
    labels = labels_from_mask(seen > 0.5, geometry)
    return seen, maps.astype(np.float32), labels.astype(np.float32)


def flipped(whole: Target) -> Target:
    """Return `whole` mirrored."""
    image, mask, maps = whole.image[:, ::-1], whole.mask[:, ::-1], whole.maps[..., ::-1]
    return Target(np.ascontiguousarray(image), mask.copy(), maps.copy(), whole.labels)


def window(whole: Target, corner: tuple[int, int], side: int) -> Target:
    """Return what a window of `side` px sees of `whole`; its corner (y, x) is in px.

    Both are multiples of 32, the stride of the tokens. A part that lies mostly outside loses its
    label.
    """
    y, x = corner

    def cut(array: NDArray[Any], stride: int) -> NDArray[Any]:
        rows = slice(y // stride, (y + side) // stride)
        return array[..., rows, x // stride : (x + side) // stride]

    maps = cut(whole.maps, 8)
    seen = maps.sum((1, 2)) >= 0.5 * whole.maps.sum((1, 2))
    labels = np.zeros_like(whole.labels)
    labels[_LOCATED] = whole.labels[_LOCATED] * seen
    image = whole.image[y : y + side, x : x + side]
    return Target(image, cut(whole.mask, 2), maps, labels)
