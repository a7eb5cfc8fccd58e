"""Whether a frame differs enough from the last reported one to be worth a report."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.decision import cut_mask, mask_overlap
from ftsdk.result import Result

#: Masks that overlap less (intersection over union) are of different places.
_SAME_OVERLAP = 0.5
#: Side in px at which masks are compared; they are cut at the model's own resolution.
_SIDE = 256


class ChangeDetector:
    """Remembers the frame that was reported last."""

    def __init__(self) -> None:
        self._regions: frozenset[str] | None = None
        self._mask = np.zeros((_SIDE, _SIDE), np.bool_)

    def changed(self, result: Result) -> bool:
        """Tell whether `result` shows other regions, of any face, or another mask; then keep it."""
        faces = (result, *result.others)  # whose order may change without anything being new
        regions = frozenset(region.name for face in faces for region in face.regions)
        mask = _small_mask(result)
        if regions == self._regions and mask_overlap(mask, self._mask) >= _SAME_OVERLAP:
            return False
        self._regions, self._mask = regions, mask
        return True


def _small_mask(result: Result) -> NDArray[np.bool_]:
    mask = cut_mask(result.probabilities, result.mask_threshold).astype(np.float32)
    small: NDArray[np.bool_] = cv2.resize(mask, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) > 0.5
    return small
