"""From a model's probability map to a mask of the picture's own size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ftsdk._native import upsample, upsample_cut
from ftsdk.errors import ArrayError


def heatmap(probabilities: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize a probability map bilinearly, with half-pixel centres and replicated borders.

    Args:
        probabilities: `[M, M] float32`, or any other two sides.

    Returns:
        `[height, width] float32`.

    Raises:
        ArrayError: not two-dimensional, or a side of 0.
    """
    source = _checked(probabilities, height, width)
    resized = np.empty((height, width), np.float32)
    upsample(source, resized)
    return resized


def cut(
    probabilities: NDArray[np.float32], height: int, width: int, threshold: float = 0.5
) -> NDArray[np.bool_]:
    """Return `heatmap(probabilities, height, width) > threshold`, without that float map.

    Returns:
        `[height, width] bool`.

    Raises:
        ArrayError: not two-dimensional, or a side of 0.
    """
    source = _checked(probabilities, height, width)
    mask = np.empty((height, width), np.bool_)
    upsample_cut(source, threshold, mask)
    return mask


def _checked(probabilities: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if probabilities.ndim != 2 or 0 in probabilities.shape or height < 1 or width < 1:
        raise ArrayError(
            "A probability map cannot be resized.",
            expected="a map [M, M] and a target of at least 1x1 pixels",
            found=f"a map {list(probabilities.shape)} and a target of {width}x{height}",
            cure="Pass one picture's map, without the batch axis.",
        )
    return np.ascontiguousarray(probabilities, dtype=np.float32)
