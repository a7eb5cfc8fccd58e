"""Each time that training draws a person, another picture of them, of which nothing is forged.

Recoloured, lit anew, slanted, seen through another lens, with something before the face.
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
from ft_forge.degrade import chromatic_aberration
from ft_forge.faces import Entry, Face
from ft_forge.geometry import Geometry
from ft_forge.occluders import Occluder, draw_occluder
from ft_forge.picture import Image
from ft_forge.regenerated import Regenerated

#: How often a face is as its file has it, and what is left alone of one that is not.
_AS_IT_IS, _NOT_SLANTED, _NOT_RECOLOURED = 0.4, 0.3, 0.3
#: How often something stands before the face, of pictures that are slanted: that resamples it with
#: them. How often a lens spreads the colours, of those that vary.
_OCCLUDED, _SPREAD = 0.22, 0.2
#: By which share of the distance to the lens's axis blue and red may lie away from green.
_SPREADING = 0.004
_METHODS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class Lens:
    """What `chromatic_aberration` is given; of what was cut out, the axis may lie outside."""

    axis: tuple[float, float]
    scales: tuple[float, float]


@dataclass(frozen=True)
class Variation:
    """A change of a whole picture before anything is forged in it; no forgery itself.

    `occluder` stands before the face, `matrix` [2, 3] moves the picture's points and `method` is
    OpenCV's interpolation, `lens` spreads its colours, `tones` [256, 3] maps its grey levels,
    `light` (x, y) is how much brighter it grows from side to side. What is None changes nothing.
    """

    occluder: Occluder | None
    matrix: NDArray[np.float64] | None
    method: int
    lens: Lens | None
    tones: NDArray[np.uint8] | None
    light: tuple[float, float]

    def image(self, image: Image) -> Image:
        """Return `image` [H, W, 3] uint8 varied."""
        if self.occluder is not None:
            image = self.occluder.image(image)
        height, width = image.shape[:2]
        if self.matrix is not None:
            image = cv2.warpAffine(
                image, self.matrix, (width, height), flags=self.method,
                borderMode=cv2.BORDER_REFLECT_101,
            )  # fmt: skip
        if self.lens is not None:
            image = chromatic_aberration(image, self.lens.axis, self.lens.scales)
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


def _lens(size: tuple[int, int], rng: np.random.Generator) -> Lens:
    """Draw a lens for a picture (height, width) that may be cut out of a larger one."""
    x, y = rng.uniform(-0.5, 1.5, 2) * size[::-1]
    blue, red = 1 + _SPREADING * rng.uniform(-1, 1, 2)
    return Lens((float(x), float(y)), (float(blue), float(red)))


def draw_variation(
    size: tuple[int, int], points: NDArray[np.float32], rng: np.random.Generator
) -> Variation:
    """Draw what happens to a picture (height, width) before it is forged; often nothing.

    `points` [478, 2] are its landmarks.
    """
    if rng.random() < _AS_IT_IS:
        return Variation(None, None, cv2.INTER_LINEAR, None, None, (0.0, 0.0))
    slanted, recoloured = rng.random() > _NOT_SLANTED, rng.random() > _NOT_RECOLOURED
    light = (float(rng.normal(0, 0.2)), float(rng.normal(0, 0.2)))
    return Variation(
        draw_occluder(points, rng) if slanted and rng.random() < _OCCLUDED else None,
        _slant(size, rng) if slanted else None, int(rng.choice(_METHODS)),
        _lens(size, rng) if rng.random() < _SPREAD else None,
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
        self._drawn: dict[tuple[str, tuple[int, ...]], Variation] = {}
        self.regenerated.plain.clear()

    def load(self, entry: Entry, save_seed: int = 0) -> Face:
        """Read one picture as :class:`FaceSet` does, and vary it."""
        face = super().load(entry, save_seed)
        variation = self._variation(face)
        self.regenerated.plain[face.file] = (face.image, variation)
        image = variation.image(face.image)
        points = variation.points(face.geometry.points)
        return replace(face, image=image, geometry=Geometry(points, image.shape[:2]))

    def _variation(self, face: Face) -> Variation:
        """Return how a person's pictures of one size vary: as was drawn for the first of them."""
        key = (face.identity, face.image.shape[:2])
        if key not in self._drawn:
            rng = np.random.default_rng([self._number, zlib.crc32(face.identity.encode())])
            self._drawn[key] = draw_variation(face.image.shape[:2], face.geometry.points, rng)
        return self._drawn[key]
