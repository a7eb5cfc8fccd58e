"""Pixels to PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.files import write_atomically


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of `pixels`, [H, W, 3] uint8 BGR or [H, W] uint8 grey."""
    _, encoded = cv2.imencode(".png", pixels)
    return encoded.tobytes()


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write `pixels`, [H, W, 3] uint8 BGR or [H, W] uint8 grey, as a PNG file, atomically."""
    write_atomically(path, encode_png(pixels))
