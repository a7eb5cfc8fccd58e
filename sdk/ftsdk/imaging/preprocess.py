"""From a decoded picture to the `pixel_values` that a model reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftsdk._native import resize_normalise
from ftsdk.errors import ArrayError, OptionError

Triple = tuple[float, float, float]

CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI CLIP's normalisation in RGB order, with which the published model was trained."""


@dataclass(frozen=True)
class Preprocessing:
    """How one model wants its pictures: squashed to a square, normalised, channels first.

    Attributes:
        size: side S of the square in pixels; the aspect ratio is not kept.
        mean: per channel in RGB order, of values scaled to 0..1.
        std: per channel in RGB order.
    """

    size: int
    mean: Triple
    std: Triple

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096:
            raise OptionError(
                "The preprocessing size is out of range.",
                expected="1 to 4096 pixels",
                found=str(self.size),
                cure="Use the size that the model was trained with.",
            )
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(self.std)) or 0.0 in self.std:
            raise OptionError(
                "The preprocessing statistics cannot normalise a picture.",
                expected="finite means and finite standard deviations other than 0",
                found=f"mean {self.mean}, std {self.std}",
                cure="Use the mean and std that the model was trained with.",
            )

    def pixel_values(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Resize as Pillow's antialiased bicubic does, bit for bit, then normalise.

        Args:
            picture: `[H, W, 3] uint8` in BGR order, of any size and strides.

        Returns:
            `[1, 3, S, S] float32` in RGB order: (value / 255 - mean) / std.

        Raises:
            ArrayError: another dtype or shape, or an empty picture.
        """
        require_picture(picture)
        return resize_normalise(
            picture, size=self.size, mean=self.mean, std=self.std, reversed=True
        )


def require_picture(array: NDArray[np.uint8]) -> None:
    """Raise ArrayError unless this is `[H, W, 3] uint8` and not empty."""
    if array.dtype != np.uint8 or array.shape[2:] != (3,) or 0 in array.shape:
        raise ArrayError(
            "Preprocessing needs a decoded picture.",
            expected="[H, W, 3] uint8, not empty",
            found=f"{list(array.shape)} {array.dtype}",
            cure="Decode it first with ftsdk.imaging.decode.decode.",
        )
