"""Pictures that differ by a number, so that a mixed-up answer shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def marked_picture(mark: int, width: int = 256, height: int = 320) -> NDArray[np.uint8]:
    """Return a picture [height, width, 3] that no other mark has."""
    coarse = np.random.default_rng(mark).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), np.uint8)
