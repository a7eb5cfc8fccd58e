"""Moving pixels: warps that follow landmarks, local bulges, similarity transforms."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.picture import Image

#: A position or an offset for each pixel, `[H, W, 2]` float32 (x, y).
Field = NDArray[Any]

#: Landmarks used for a mesh warp: every fourth, and the whole outline of the face.
_MESH = np.unique(np.concatenate([np.arange(0, 468, 4), [10, 152, 234, 454, 127, 356, 58, 288]]))


def _sample(image: Image, field: Field, interpolation: int) -> Image:
    return cv2.remap(
        image, field[..., 0], field[..., 1], interpolation, borderMode=cv2.BORDER_REFLECT
    )


def identity_field(size: tuple[int, int]) -> Field:
    """Return the sampling field `[H, W, 2]` float32 (x, y in pixels) that changes nothing."""
    ys, xs = np.mgrid[: size[0], : size[1]]
    return np.stack([xs, ys], -1).astype(np.float32)


def mesh_warp(
    image: Image, source: NDArray[np.float32], target: NDArray[np.float32], size: tuple[int, int],
    interpolation: int = cv2.INTER_CUBIC,
) -> Image:  # fmt: skip
    """Move landmarks `source` `[478, 2]` of `image` to `target` `[478, 2]` in a picture of `size`.

    The displacement between landmarks is their Gaussian weighted mean after the best affine map,
    evaluated on a coarse grid and interpolated.
    """
    affine, _ = cv2.estimateAffine2D(target[_MESH], source[_MESH], method=cv2.LMEDS)
    knots = target[_MESH]
    residual = source[_MESH] - (knots @ affine[:, :2].T + affine[:, 2])
    step = 13  # odd, so that a knot falls on a pixel after resizing
    ys, xs = np.mgrid[0 : size[0] + step : step, 0 : size[1] + step : step]
    grid = np.stack([xs, ys], -1).reshape(-1, 2).astype(np.float32)
    squared = ((grid[:, None] - knots[None]) ** 2).sum(-1)
    spread = 0.04 * float(np.ptp(knots[:, 0]))
    weight = np.exp(-squared / (2 * spread**2)) + 1e-9 / (squared + 1.0)
    offset = (weight @ residual) / weight.sum(1, keepdims=True)
    coarse = (grid @ affine[:, :2].T + affine[:, 2] + offset).reshape(*xs.shape, 2)
    full = cv2.resize(
        coarse.astype(np.float32), None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR
    )
    # cv2.resize puts knot i at pixel (i + 0.5) * step - 0.5.
    shift = (step - 1) // 2
    return _sample(image, full[shift : shift + size[0], shift : shift + size[1]], interpolation)


def align_by_points(
    image: Image, source: NDArray[np.float32], target: NDArray[np.float32], size: tuple[int, int],
    interpolation: int = cv2.INTER_CUBIC,
) -> Image:  # fmt: skip
    """Move `image` by the similarity that best takes points `source` `[n, 2]` to `target`."""
    matrix, _ = cv2.estimateAffinePartial2D(source, target, method=cv2.LMEDS)
    if matrix is None:
        matrix = np.array([[1, 0, 0], [0, 1, 0]], np.float64)
        matrix[:, 2] = target.mean(0) - source.mean(0)
    flags, border = interpolation, cv2.BORDER_REFLECT
    return cv2.warpAffine(image, matrix, (size[1], size[0]), flags=flags, borderMode=border)


def bulge(
    size: tuple[int, int], centre: NDArray[np.floating], radius: float, strength: float
) -> Field:
    """Return a field offset `[H, W, 2]` that magnifies (`strength` > 0) or shrinks a disc.

    The offset falls to zero at `radius` pixels from `centre` (x, y).
    """
    toward = identity_field(size) - np.asarray(centre, np.float32)
    distance = np.linalg.norm(toward, axis=-1, keepdims=True) / radius
    fall = np.clip(1 - distance**2, 0, 1) ** 2
    return (-strength * fall * toward).astype(np.float32)


def push(
    size: tuple[int, int], centre: NDArray[np.floating], radius: float, by: NDArray[np.floating]
) -> Field:
    """Return a field offset `[H, W, 2]` that pushes a disc by `by` (x, y) pixels."""
    toward = identity_field(size) - np.asarray(centre, np.float32)
    distance = np.linalg.norm(toward, axis=-1, keepdims=True) / radius
    return (-np.asarray(by, np.float32) * np.clip(1 - distance**2, 0, 1) ** 2).astype(np.float32)


def apply_offset(image: Image, offset: Field) -> Image:
    """Sample `image` `[H, W, 3]` at the pixel grid plus `offset` `[H, W, 2]`."""
    return _sample(image, identity_field(image.shape[:2]) + offset, cv2.INTER_CUBIC)
