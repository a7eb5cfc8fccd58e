"""What stands before a face and is no forgery: a patch, a mask, glasses, a hat, a strap.

Drawn before a picture is resampled as a whole, with its own sharpness and noise, so that its edges
carry no trace of an editor. A model that never sees one takes each for a pasted object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.degrade import add_grain
from ft_forge.geometry import PARTS
from ft_forge.picture import Image

Points = NDArray[np.float32]

#: The landmark at the tip of the nose.
_NOSE_TIP = 1
#: Bits of a pixel's fraction in the corners that OpenCV draws.
_FRACTION = 4


@dataclass(frozen=True)
class Occluder:
    """An object of one colour and weave in a picture.

    `outlines` are its polygons [N, 2] in px, `colour` [3] its grey levels and `slope` [2, 3] how
    much they grow over the picture's height and width, `weave` the strength of its texture in grey
    levels, `opacity` 0..1, `softness` the blur of its edge in px; `seed` draws texture and noise.
    """

    outlines: tuple[Points, ...]
    colour: NDArray[np.float64]
    slope: NDArray[np.float64]
    weave: float
    opacity: float
    softness: float
    seed: int

    def image(self, image: Image) -> Image:
        """Return `image` [H, W, 3] uint8 with the object before it."""
        cover = self._cover(image.shape[:2])[..., None]
        seen = image + cover * (self._surface(image) - image.astype(np.float32))
        return np.clip(np.round(seen), 0, 255).astype(np.uint8)

    def _cover(self, size: tuple[int, int]) -> NDArray[np.float32]:
        canvas: NDArray[Any] = np.zeros(size, np.uint8)
        for outline in self.outlines:
            corners = np.round(outline * (1 << _FRACTION)).astype(np.int32)
            cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA, _FRACTION)
        soft = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), self.softness)
        return np.asarray(self.opacity / 255 * soft, np.float32)

    def _surface(self, image: Image) -> NDArray[np.float32]:
        height, width = image.shape[:2]
        rng = np.random.default_rng(self.seed)
        down, across = np.linspace(-0.5, 0.5, height), np.linspace(-0.5, 0.5, width)
        surface = self.colour + down[:, None, None] * self.slope[0]
        surface = surface + across[None, :, None] * self.slope[1]
        white = rng.standard_normal((height, width), dtype=np.float32)
        threads = np.asarray(cv2.GaussianBlur(white, (0, 0), float(rng.uniform(0.8, 3.0))))
        surface = surface + (self.weave / threads.std() * threads)[..., None]
        whole = np.clip(surface, 0, 255).astype(np.uint8)
        return add_grain(whole, noise_level(image), rng).astype(np.float32)


def noise_level(image: Image) -> float:
    """Return the deviation of a picture's noise in grey levels, from its calmer half.

    By the median difference to the smoothed picture: white noise keeps 0.87 of its deviation there,
    and the median of a normal variable's magnitude is 0.67 of its deviation.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    away = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.0))
    return max(float(np.median(away)) / (0.67 * 0.87), 0.2)


def _blob(middle: Points, radii: NDArray[np.float64], rng: np.random.Generator) -> Points:
    """Draw an ellipse about `middle` with an uneven rim and any tilt."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    uneven = 1 + sum(
        rng.normal(0, 0.06) * np.cos(turns * angle + rng.uniform(0, 6.3)) for turns in (2, 3, 5)
    )
    rim = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii * np.asarray(uneven)[:, None]
    return (rim @ _turn(float(rng.uniform(0, np.pi))) + middle).astype(np.float32)


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _patch(points: Points, width: float, rng: np.random.Generator) -> tuple[Points, ...]:
    return (_blob(points[rng.integers(len(points))], width * rng.uniform(0.06, 0.25, 2), rng),)


def _eye_patch(points: Points, width: float, rng: np.random.Generator) -> tuple[Points, ...]:
    eye = points[PARTS[str(rng.choice(["left_eye", "right_eye"]))]].mean(0)
    return (_blob(eye, width * rng.uniform(0.13, 0.22, 2), rng),)


def _glasses(points: Points, width: float, rng: np.random.Generator) -> tuple[Points, ...]:
    radii = width * rng.uniform([0.15, 0.1], [0.2, 0.17])
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    # A superellipse, from round to almost square.
    power = float(rng.uniform(0.5, 1.0))
    rim = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rim = np.sign(rim) * np.abs(rim) ** power * radii
    sides = [points[PARTS[part]].mean(0) for part in ("left_eye", "right_eye")]
    across = sides[0] - sides[1]
    turned = rim @ _turn(-float(np.arctan2(across[1], across[0])))
    return tuple((turned + side).astype(np.float32) for side in sides)


def _mask(points: Points, width: float, rng: np.random.Generator) -> tuple[Points, ...]:
    top = points[_NOSE_TIP, 1] - width * rng.uniform(0.0, 0.2)
    below = points[points[:, 1] > top]
    middle = below.mean(0)
    hull = cv2.convexHull(middle + (below - middle) * rng.uniform(0.9, 1.1))
    return (hull.reshape(-1, 2).astype(np.float32),)


def _hat(points: Points, width: float, rng: np.random.Generator) -> tuple[Points, ...]:
    brow = points[PARTS["forehead"]]
    line, middle = np.quantile(brow[:, 1], rng.uniform(0.0, 0.6)), float(brow[:, 0].mean())
    crown = np.array([[middle, line - 0.25 * width]], np.float32)
    radii = width * rng.uniform([0.55, 0.25], [0.85, 0.45])
    return (_blob(crown[0], radii, rng),)


def _strap(points: Points, width: float, rng: np.random.Generator) -> tuple[Points, ...]:
    length, thick = width * rng.uniform(0.5, 2.5), width * rng.uniform(0.03, 0.2)
    corners = np.array([[0, -thick], [length, -thick], [length, thick], [0, thick]]) / 2
    corners = corners @ _turn(float(rng.uniform(0, 2 * np.pi)))
    return ((corners + points[rng.integers(len(points))]).astype(np.float32),)


#: By name: a function of landmarks, face width in px and a generator that returns outlines.
KINDS: dict[str, Callable[[Points, float, np.random.Generator], tuple[Points, ...]]] = {
    "patch": _patch, "eye_patch": _eye_patch, "glasses": _glasses, "mask": _mask, "hat": _hat,
    "strap": _strap,
}  # fmt: skip


def draw_occluder(points: Points, rng: np.random.Generator, kind: str | None = None) -> Occluder:
    """Draw an object before the face whose landmarks are `points` [478, 2] in px.

    `kind` is one of :data:`KINDS`; None draws that too.
    """
    name = kind or str(rng.choice(list(KINDS)))
    width = float(np.ptp(points[PARTS["face_oval"]][:, 0]))
    tinted = name == "glasses" and rng.random() < 0.5
    grey = rng.uniform(5, 70) if rng.random() < 0.5 else rng.uniform(40, 240)
    return Occluder(
        outlines=KINDS[name](points, width, rng), colour=grey + rng.normal(0, 25, 3),
        slope=rng.normal(0, 25, (2, 3)), weave=float(rng.uniform(0, 6)),
        opacity=float(rng.uniform(0.5, 0.95)) if tinted else 1.0,
        softness=float(rng.uniform(0.5, 1.6)), seed=int(rng.integers(2**31)),
    )  # fmt: skip
