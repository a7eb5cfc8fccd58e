"""Changes a sample the way pictures in the wild differ, picture and truth together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from ft_forge.degrade import degrade
from ft_forge.picture import Image
from ftsdk.regions import LABELS, LOCATED_LABELS

from .store import MAP_SIZE, Sample

_INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
#: Lanczos takes four times as long as the others: rarely.
_HOW_OFTEN = (0.5, 0.4, 0.1)
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


def _framing(size: int, rng: np.random.Generator) -> NDArray[Any]:
    """Draw an affine map `[2, 3]`: zoom, small turn, shift about the centre."""
    zoom, turn = float(np.exp(rng.uniform(-0.25, 0.35))), float(rng.normal(0, 6))
    matrix: NDArray[Any] = cv2.getRotationMatrix2D((size / 2, size / 2), turn, zoom)
    matrix[:, 2] += rng.uniform(-0.08, 0.08, 2) * size
    return matrix


def _warp_maps(maps: Image, matrix: NDArray[Any], size: int) -> Image:
    small = matrix.copy()
    small[:, 2] *= MAP_SIZE / size
    shape = (MAP_SIZE, MAP_SIZE)
    # warpAffine takes at most four channels.
    return np.dstack([
        cv2.warpAffine(np.ascontiguousarray(maps[..., i : i + 4]), small, shape)
        for i in range(0, maps.shape[-1], 4)
    ])  # fmt: skip


def _relight(image: Image, rng: np.random.Generator) -> Image:
    gain, bias = rng.uniform(0.75, 1.25), rng.uniform(-20, 20)
    tint = rng.uniform(0.94, 1.06, 3)
    return np.clip(np.round(image * (gain * tint) + bias), 0, 255).astype(np.uint8)


def _at_another_size(image: Image, rng: np.random.Generator, harm: float) -> Image:
    """Return `image` with a history at a third to twice its size, resized as `ftsdk` does it.

    Most faces are smaller or larger in their pictures than the model sees them.
    """
    side = image.shape[0]
    taken = round(side * float(np.exp(rng.uniform(np.log(0.33), np.log(2.0)))))
    method = cv2.INTER_AREA if taken < side else cv2.INTER_CUBIC
    history = degrade(cv2.resize(image, (taken, taken), interpolation=method), rng, harm)
    seen = Pillow.fromarray(history).resize((side, side), Pillow.Resampling.BICUBIC)
    return np.asarray(seen)


def augment(sample: Sample, rng: np.random.Generator, harm: float = 1.0) -> Sample:
    """Return `sample` flipped, reframed, relit, resized and degraded at random; truth follows.

    `harm` scales how often compression and its like hide the traces; see :func:`degrade`.
    """
    image, mask, maps = sample.image, sample.mask, sample.maps
    if rng.random() < 0.5:
        image, mask, maps = image[:, ::-1], mask[:, ::-1], maps[:, ::-1]
    image = np.ascontiguousarray(image)
    if rng.random() < 0.35:
        size = image.shape[0]
        matrix = _framing(size, rng)
        method = int(rng.choice(_INTERPOLATIONS, p=_HOW_OFTEN))
        image = cv2.warpAffine(image, matrix, (size, size), flags=method,
                               borderMode=cv2.BORDER_REFLECT)  # fmt: skip
        mask = cv2.warpAffine(np.ascontiguousarray(mask), matrix, (size, size))
        maps = _warp_maps(maps, matrix, size)
    if rng.random() < 0.3:
        image = _relight(image, rng)
    change = _at_another_size if rng.random() < 0.2 else degrade
    return Sample(change(image, rng, harm), mask, maps, sample.multilabel, sample.meta)


def target(sample: Sample) -> Target:
    """Return the arrays that the vision stages are trained on."""
    size = sample.image.shape[0]
    half, eighth = size // 2, size // 8
    mask = cv2.resize(sample.mask.astype(np.float32), (half, half), interpolation=cv2.INTER_AREA)
    maps = cv2.resize(sample.maps, (eighth, eighth), interpolation=cv2.INTER_AREA)
    maps = maps.reshape(eighth, eighth, len(LOCATED_LABELS)).transpose(2, 0, 1)
    return Target(
        sample.image,
        mask,
        maps.astype(np.float32) / 255,
        sample.multilabel.astype(np.float32),
    )


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
