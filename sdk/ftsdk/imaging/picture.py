"""A decoded picture, and the sizes that are accepted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import ImageSizeError, ImageTooSmallError

MAX_PIXELS = 100_000_000
MIN_SIDE = 16
"""A face of fewer pixels across shows nothing that could be judged."""
MAX_SIDE = 65_535
"""What the largest JPEG may have."""


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A picture as the models read it.

    Attributes:
        pixels: `[H, W, 3] uint8` in BGR order, contiguous, read-only, upright.
        sha256: hex digest of the file's bytes; for arrays and Pillow pictures of their
            shape and pixels.
        name: the file's name, or what kind of source it was.
        notes: what was dropped or changed on the way, one sentence each.
        path: the file that it was read from by its path; None for all else.
        damaged: the file's data is damaged, so that a part of the pixels is not the picture's.
        jpeg_quality: at which a JPEG file was saved, 1 to 100, as its table tells; else None.
    """

    pixels: NDArray[np.uint8]
    sha256: str
    name: str
    notes: tuple[str, ...] = ()
    path: Path | None = None
    damaged: bool = False
    jpeg_quality: int | None = None

    def __repr__(self) -> str:
        """Return name and size; the pixels would hide both."""
        return f"<Picture {self.name!r}, {self.width} x {self.height} px>"

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageSizeError where a side or the number of pixels is out of range.

    ImageTooSmallError, which is one, where a side is too short.
    """
    if min(width, height) >= MIN_SIDE and max(width, height) <= MAX_SIDE:
        if width * height <= max_pixels:
            return
        cure = "Scale the picture down, or raise max_pixels where memory allows."
    else:
        cure = "Scale or crop the picture so that both sides are in range."
    kind = ImageTooSmallError if min(width, height) < MIN_SIDE else ImageSizeError
    raise kind(
        "The picture's size is out of range.",
        expected=f"sides of {MIN_SIDE} to {MAX_SIDE} and at most {max_pixels} pixels",
        found=f"{width}x{height}, {width * height} pixels",
        cure=cure,
    )


def freeze(pixels: NDArray[np.uint8], digest: str | None, name: str, notes: list[str]) -> Picture:
    """Make a Picture of pixels [H, W, 3] uint8 BGR that nobody else holds.

    `digest` is the SHA-256 of the file that they came from, in hexadecimal; None hashes the pixels.
    """
    own = np.ascontiguousarray(pixels)
    own.setflags(write=False)
    return Picture(own, digest or _digest(own), name, tuple(notes))


def _digest(pixels: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()
