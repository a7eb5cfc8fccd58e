"""Where a region usually lies in an aligned face, and how much of that place a mask covers.

The outlines are the mean of many people in FFHQ framing (`ft_forge.face_layout`); people
differ from it by about 1.5 % of the picture's side.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.regions import face_region

#: What landmarks do not reach, drawn by hand.
_DRAWN: dict[str, list[list[float]]] = {
    "left_ear": [[0.14, 0.42], [0.22, 0.42], [0.24, 0.66], [0.17, 0.66]],
    "right_ear": [[0.77, 0.42], [0.85, 0.42], [0.82, 0.66], [0.75, 0.66]],
    "hair": [[0.1, 0.4], [0.14, 0.1], [0.5, 0.0], [0.86, 0.1], [0.9, 0.4], [0.74, 0.3],
             [0.5, 0.24], [0.26, 0.3]],
    "mustache": [[0.4, 0.65], [0.6, 0.65], [0.63, 0.72], [0.5, 0.71], [0.37, 0.72]],
}  # fmt: skip


def covered_share(mask: NDArray[np.bool_], region: str) -> float:
    """Return the share of `region`'s place that `mask` [M, M] covers, 0 to 1.

    A label that has no place of its own, such as skin or wrinkle, is looked for in the whole face.
    """
    place = region_place(region, mask.shape[0])
    return float((mask & place).sum() / max(int(place.sum()), 1))


@lru_cache(maxsize=64)
def region_place(region: str, size: int) -> NDArray[np.bool_]:
    """Return the pixels [size, size] where `region` usually lies."""
    canvas = np.zeros((size, size), np.uint8)
    for outline in face_region(region).outlines:
        cv2.fillPoly(canvas, [np.rint(np.array(_layout()[outline]) * size).astype(np.int32)], 1)
    return canvas.astype(bool)


@lru_cache(maxsize=1)
def _layout() -> dict[str, list[list[float]]]:
    path = Path(__file__).with_name("face_layout.json")
    return {**json.loads(path.read_text(encoding="utf-8")), **_DRAWN}
