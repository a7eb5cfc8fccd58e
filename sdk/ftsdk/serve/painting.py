"""Masks that users paint."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import ArrayError
from ftsdk.result import Result
from ftsdk.serve.documents import PaintedMask


def painted(mask: PaintedMask, result: Result) -> NDArray[np.bool_]:
    """Return a painted mask [H, W] bool at the picture's size.

    Raises:
        ArrayError: the run lengths do not add up, or the mask is larger than the picture.
    """
    height, width = result.picture.height, result.picture.width
    lengths = np.array(mask.run_lengths, np.int64) if _in_range(mask) else np.zeros(0, np.int64)
    if lengths.sum() != mask.width * mask.height or mask.width > width or mask.height > height:
        raise ArrayError(
            "the painted mask does not fit",
            expected=f"run lengths that add up to width x height, at most {width}x{height}",
            found=f"{mask.width}x{mask.height}, {len(mask.run_lengths)} runs",
            cure="paint at the picture's size or smaller, and start with a run outside the mask",
        )
    inside = np.arange(len(lengths)) % 2 == 1
    pixels = np.repeat(inside, lengths).reshape(mask.height, mask.width).view(np.uint8)
    sized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST)
    return sized.astype(np.bool_)


def _in_range(mask: PaintedMask) -> bool:
    most = mask.width * mask.height
    return all(0 <= length <= most for length in mask.run_lengths) and (
        sum(mask.run_lengths) == most
    )
