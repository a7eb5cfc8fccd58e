"""Families that leave a face's content as it was: an area processed again, an area healed.

What every local edit has in common, whatever program makes it, is that its area went through other
steps than the rest of the picture. Most of these are too faint to be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.blend import Blend, Mask, composite, random_blend
from ft_forge.degrade import add_grain, add_noise, clahe, denoise, jpeg, rescale
from ft_forge.faces import Face
from ft_forge.families import Donors, Edit
from ft_forge.picture import Image
from ft_forge.regions import face_area, parts_mask, random_parts, random_patch

_METHODS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
#: How often an area is processed in two ways.
_TWICE = 0.35
#: Places that a healing brush tries, and the width in px of the rim that has to fit.
_PLACES, _RIM = 40, 4

Step = Callable[[Image, np.random.Generator], Image]


def _saved(image: Image, rng: np.random.Generator) -> Image:
    """Save as JPEG, on the picture's grid of blocks or on another."""
    quality, (y, x) = int(rng.integers(20, 92)), rng.integers(0, 8, 2) * (rng.random() < 0.5)
    padded = cv2.copyMakeBorder(image, int(y), 0, int(x), 0, cv2.BORDER_REPLICATE)
    return jpeg(padded, quality)[y:, x:]


def _resampled(image: Image, rng: np.random.Generator) -> Image:
    """Resize and back."""
    factor = float(np.exp(rng.uniform(np.log(0.35), np.log(1.8))))
    down = cv2.INTER_AREA if factor < 1 and rng.random() < 0.5 else int(rng.choice(_METHODS))
    return rescale(image, factor, down, int(rng.choice(_METHODS)))


def _moved(image: Image, rng: np.random.Generator) -> Image:
    """Turn by a little, or shift by parts of a pixel, and often back again."""
    height, width = image.shape[:2]
    angle = float(rng.normal(0, 4)) if rng.random() < 0.6 else 0.0
    matrix: NDArray[Any] = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    matrix[:, 2] += rng.uniform(-2, 2, 2)
    back = angle != 0.0 or rng.random() < 0.5
    for step in (matrix, cv2.invertAffineTransform(matrix))[: 1 + back]:
        method = int(rng.choice(_METHODS))
        image = cv2.warpAffine(
            image, step, (width, height), flags=method, borderMode=cv2.BORDER_REFLECT
        )
    return image


def _sharpened(image: Image, rng: np.random.Generator) -> Image:
    soft = cv2.GaussianBlur(image, (0, 0), float(np.exp(rng.uniform(np.log(0.6), np.log(4)))))
    strength = float(rng.uniform(0.4, 2.5))
    return cv2.addWeighted(image, 1 + strength, soft, -strength, 0)


def _softened(image: Image, rng: np.random.Generator) -> Image:
    kind = rng.random()
    if kind < 0.4:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 2.0)))
    if kind < 0.6:
        return cv2.medianBlur(image, int(rng.choice([3, 5])))
    if kind < 0.9:
        return cv2.bilateralFilter(image, 7, float(rng.uniform(10, 60)), float(rng.uniform(2, 6)))
    return denoise(image, float(rng.uniform(2, 8)))


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    add = add_grain if rng.random() < 0.5 else add_noise
    return add(image, float(np.exp(rng.uniform(np.log(1.5), np.log(9)))), rng)


def _toned(image: Image, rng: np.random.Generator) -> Image:
    """Change gamma, contrast, hue or saturation, or equalise place by place."""
    kind = rng.random()
    if kind < 0.15:
        return clahe(image, float(rng.uniform(1, 3)))
    if kind < 0.5:
        levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25, 3))
        levels = np.clip((levels - 0.5) * rng.uniform(0.85, 1.2) + 0.5, 0, 1)
        return cv2.LUT(image, np.round(255 * levels).astype(np.uint8)[None])
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.normal(0, 6)) % 180
    hsv[..., 1:] = np.clip(hsv[..., 1:] * np.exp(rng.normal(0, [0.35, 0.1])), 0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)


#: What an area may go through, how often, and the sign that it leaves.
_STEPS: tuple[tuple[Step, float, str], ...] = (
    (_saved, 0.22, "compression"),
    (_resampled, 0.18, "blur"),
    (_moved, 0.14, "texture"),
    (_sharpened, 0.14, "sharp"),
    (_softened, 0.10, "smooth"),
    (_noisy, 0.08, "noise"),
    (_toned, 0.14, "colour"),
)


def _area(face: Face, rng: np.random.Generator) -> Mask:
    kind = rng.random()
    if kind < 0.45:
        return parts_mask(face.geometry, random_parts(rng), rng)
    if kind < 0.7:
        return random_patch(face.geometry, rng)
    return face.geometry.skin if kind < 0.8 else face_area(face.geometry, rng)


def reprocessing(face: Face, _donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Send an area through one or two steps of processing that the rest does not see."""
    shares = np.array([share for _, share, _ in _STEPS])
    count = 1 + (rng.random() < _TWICE)
    chosen = rng.choice(len(_STEPS), size=count, replace=False, p=shares / shares.sum())
    patch = face.image
    for number in chosen:
        patch = _STEPS[number][0](patch, rng)
    drawn = random_blend(rng, hard=0.3, poisson=0.0)
    blend = Blend(drawn.edge, drawn.sigma, drawn.opacity, 0.0)  # its colours are its own
    image, alpha = composite(face.image, patch, _area(face, rng), blend)
    return Edit(image, alpha > 0.4, tuple(_STEPS[number][2] for number in chosen))


def healing(face: Face, _donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Cover an area with the place nearby whose surroundings fit best, as a healing brush does."""
    if rng.random() < 0.6:
        area = random_patch(face.geometry, rng)
    else:
        area = parts_mask(face.geometry, random_parts(rng, most=1), rng)
    x, y, w, h = cv2.boundingRect(area.astype(np.uint8))
    height, width = face.geometry.size
    if min(w, h) < 4:
        return None
    kernel = np.ones((2 * _RIM + 1,) * 2, np.uint8)
    rim = cv2.dilate(area.astype(np.uint8), kernel).astype(bool) & ~area
    ys, xs = np.nonzero(rim)
    reach, best = 0.7 * face.geometry.face_width, (np.inf, 0, 0)
    for dx, dy in np.round(rng.uniform(-reach, reach, (_PLACES, 2))).astype(int):
        inside = x + dx >= 0 and x + w + dx <= width and y + dy >= 0 and y + h + dy <= height
        if not inside or (abs(dx) < w and abs(dy) < h):
            continue
        there = face.image[np.clip(ys + dy, 0, height - 1), np.clip(xs + dx, 0, width - 1)]
        away = float(np.abs(there.astype(np.float32) - face.image[ys, xs]).mean())
        best = min(best, (away, int(dx), int(dy)))
    away, dx, dy = best
    if away == np.inf:
        return None
    patch = face.image.copy()
    patch[y : y + h, x : x + w] = face.image[y + dy : y + dy + h, x + dx : x + dx + w]
    image, alpha = composite(face.image, patch, area, random_blend(rng, hard=0.1, poisson=0.5))
    return Edit(image, alpha > 0.4, ("doubled", "texture"))
