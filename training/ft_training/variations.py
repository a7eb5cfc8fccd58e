"""Each time that training draws a person, another picture of them: recoloured, lit anew, slanted.

A model that sees the same few thousand faces again and again learns what they look like, and takes
that for proof that they are untouched. In a face that it never sees twice it must read the traces.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge import FaceSet
from ft_forge.faces import Entry, Face
from ft_forge.geometry import Geometry
from ft_forge.picture import Image
from ft_forge.regenerated import Regenerated

#: How often a face is as its file has it, and what is left alone of one that is not.
_AS_IT_IS, _NOT_SLANTED, _NOT_RECOLOURED = 0.4, 0.3, 0.3
_METHODS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class Variation:
    """A change of a whole picture before anything is forged in it; no forgery itself.

    `matrix` [2, 3] moves its points and `method` is OpenCV's interpolation, `tones` [256, 3] maps
    its grey levels, `light` (x, y) is how much brighter the picture grows from side to side. None
    of `matrix` and `tones` leaves that alone.
    """

    matrix: NDArray[np.float64] | None
    method: int
    tones: NDArray[np.uint8] | None
    light: tuple[float, float]

    def image(self, image: Image) -> Image:
        """Return `image` [H, W, 3] uint8 varied."""
        height, width = image.shape[:2]
        if self.matrix is not None:
            image = cv2.warpAffine(
                image, self.matrix, (width, height), flags=self.method,
                borderMode=cv2.BORDER_REFLECT_101,
            )  # fmt: skip
        if self.tones is None:
            return image
        image = cv2.LUT(image, self.tones[None])
        across = 1 + self.light[0] * np.linspace(-0.5, 0.5, width, dtype=np.float32)
        down = self.light[1] * np.linspace(-0.5, 0.5, height, dtype=np.float32)
        lit = image * (across[None, :] + down[:, None])[..., None]
        return np.clip(np.round(lit), 0, 255).astype(np.uint8)

    def points(self, points: NDArray[Any]) -> NDArray[Any]:
        """Return where `points` [N, 2] are in the varied picture."""
        if self.matrix is None:
            return points
        return (points @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)


def _slant(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a matrix [2, 3] that turns, stretches and shears a picture (height, width) a little."""
    angle, stretch = np.deg2rad(rng.normal(0, 4)), float(np.exp(rng.uniform(-0.12, 0.12)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[stretch, rng.uniform(-0.08, 0.08)], [0.0, 1 / stretch]])
    middle = np.array(size[::-1]) / 2
    return np.hstack([linear, (middle - linear @ middle)[:, None]])


def _tones(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a gamma, a gain a colour and a haze, as grey levels [256, 3]."""
    levels = np.linspace(0, 1, 256)[:, None] ** float(np.exp(rng.uniform(-0.4, 0.4)))
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.9, 1.1, 3)
    haze = rng.uniform(0, 0.12) if rng.random() < 0.3 else 0.0
    return np.clip(np.round(255 * (haze + (1 - haze) * levels * gain)), 0, 255).astype(np.uint8)


def draw_variation(size: tuple[int, int], rng: np.random.Generator) -> Variation:
    """Draw what happens to a picture (height, width) before it is forged; often nothing."""
    if rng.random() < _AS_IT_IS:
        return Variation(None, cv2.INTER_LINEAR, None, (0.0, 0.0))
    slanted, recoloured = rng.random() > _NOT_SLANTED, rng.random() > _NOT_RECOLOURED
    light = (float(rng.normal(0, 0.15)), float(rng.normal(0, 0.15)))
    return Variation(
        _slant(size, rng) if slanted else None, int(rng.choice(_METHODS)),
        _tones(rng) if recoloured else None, light,
    )  # fmt: skip


class _VariedSquares(Regenerated):
    """A folder's regenerated squares, put into faces as they were varied."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.plain: dict[str, tuple[Image, Variation]] = {}

    def of(self, file: str, image: Image, rng: np.random.Generator) -> Image | None:
        if file not in self.plain:
            return super().of(file, image, rng)
        plain, variation = self.plain[file]
        made = super().of(file, plain, rng)
        return None if made is None else variation.image(made)


class VariedFaces(FaceSet):
    """A face folder that varies what it loads.

    All pictures of a person vary alike until the next :meth:`turn`: an edited level of a face
    differs from its base by the edit alone.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.regenerated: _VariedSquares = _VariedSquares(self.root)
        self.turn(0)

    def turn(self, number: int) -> None:
        """Begin picture `number`: everybody is varied anew."""
        self._number = number
        self.regenerated.plain.clear()

    def load(self, entry: Entry, save_seed: int = 0) -> Face:
        """Read one picture as :class:`FaceSet` does, and vary it."""
        face = super().load(entry, save_seed)
        key = [self._number, zlib.crc32(entry.identity.encode())]
        variation = draw_variation(face.image.shape[:2], np.random.default_rng(key))
        self.regenerated.plain[face.file] = (face.image, variation)
        image = variation.image(face.image)
        points = variation.points(face.geometry.points)
        return replace(face, image=image, geometry=Geometry(points, image.shape[:2]))
