"""The families of forgery by name, and what each of them returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ft_forge.blend import Mask
from ft_forge.faces import Face
from ft_forge.picture import Image


@dataclass(frozen=True)
class Edit:
    """What a family did to a face.

    `image` `[H, W, 3]` uint8 BGR; `support` `[H, W]` bool, where pixels were written;
    `traces` the visible signs that the words may name, strongest first.
    """

    image: Image
    support: Mask
    traces: tuple[str, ...] = field(default=())


class Donors(Protocol):
    """Gives a family the other faces it takes material from."""

    def other(self, rng: np.random.Generator) -> Face:
        """Return a face of another identity."""

    def level(self, rng: np.random.Generator) -> Face | None:
        """Return the same identity at another edit level, aligned to the pixel, or None."""

    def regenerated(self, face: Face, rng: np.random.Generator) -> Image | None:
        """Return the picture of `face` with the face as an autoencoder returns it, or None."""


Family = Callable[[Face, Donors, np.random.Generator], Edit | None]
