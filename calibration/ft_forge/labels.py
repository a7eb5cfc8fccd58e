"""The 21 region names and how a mask and landmarks decide which of them are set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ft_forge.geometry import Geometry
from ftsdk.regions import LABELS, LOCATED_LABELS

#: The share of a part that the mask must cover for the part to count as manipulated.
COVERAGE = 0.35
#: Bare skin is large and a retouched patch of it is small: a lower share is enough.
SKIN_COVERAGE = 0.15


def label_coverage(mask: NDArray[np.bool_], geometry: Geometry) -> dict[str, float]:
    """Return, per located label, the share of its best covered side that `mask` covers.

    `mask` is `[H, W]` bool; values lie in 0..1. "eye" is the larger of left and right.
    """
    coverage = {}
    for label in LOCATED_LABELS:
        sides = geometry.label_masks(label)
        coverage[label] = max(float(mask[side].mean()) if side.any() else 0.0 for side in sides)
    return coverage


def labels_from_mask(mask: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.uint8]:
    """Return the multilabel `[21]` uint8 0/1 that `mask` `[H, W]` bool implies.

    A mask on the face that covers enough of no part is a change of the skin there.
    """
    coverage = label_coverage(mask, geometry)
    chosen = {
        label
        for label, share in coverage.items()
        if share >= (SKIN_COVERAGE if label == "skin" else COVERAGE)
    }
    on_face = bool(mask.any()) and float(geometry.face[mask].mean()) > 0.5
    if not chosen and on_face:
        chosen = {"skin"}
    return np.array([label in chosen for label in LABELS], dtype=np.uint8)


def label_names(multilabel: NDArray[np.uint8]) -> list[str]:
    """Return the names set in `multilabel` `[21]`, in index order."""
    return [name for name, bit in zip(LABELS, multilabel, strict=True) if bit]
