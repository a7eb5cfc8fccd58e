"""What happens to pictures between the editor and the model, drawn once for a pair.

A forgery and its original get the very same treatment: nothing but the forgery tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.degrade import (
    add_grain,
    add_noise,
    avif,
    clahe,
    denoise,
    grey,
    jpeg,
    motion_blur,
    rescale,
    webp,
)
from ft_forge.filming import filmed
from ft_forge.picture import Image

#: One step of a history, from a picture [H, W, 3] uint8 to the next.
Step = Callable[[Image], Image]

_RESIZERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
#: JPEG qualities that a picture may be saved with.
_QUALITY = (45, 99)
#: How often a picture is saved as WebP, as AVIF, and as the frame of a video, where it is saved.
_WEBP, _AVIF, _FILMED = 0.08, 0.08, 0.07
#: With which quality those of the new formats, and x264's rate factors and presets.
_NEW_QUALITY = (40, 90)
_FACTOR, _PRESETS = (18, 38), ("ultrafast", "veryfast", "medium")
#: Faces are not made smaller than this many px of their square's side.
_LEAST_SIDE = 110.0
#: How often a whole picture is denoised, its contrast enhanced, or made smaller by the nearest
#: pixel and restored, as telephones, editors and crude programs do: none of it forges anything.
_DENOISED, _ENHANCED, _NEAREST = 0.12, 0.06, 0.06
#: How often denoising is by non-local means: a picture takes far longer than by the others.
_NON_LOCAL = 0.25
#: How often noise comes last, on the saved picture: it hides no forgery and is none.
_NOISE_LAST = 0.15


def _seeded(change: Callable[[Image, np.random.Generator], Image], seed: int) -> Step:
    return lambda image: change(image, np.random.default_rng(seed))


def _toned(image: Image, gain: NDArray[Any], bias: float) -> Image:
    return np.clip(np.round(image * gain + bias), 0, 255).astype(np.uint8)


def _saturated(image: Image, factor: float) -> Image:
    plain = grey(image).astype(np.float32)
    return np.clip(np.round(plain + factor * (image - plain)), 0, 255).astype(np.uint8)


def _sharpened(image: Image, strength: float) -> Image:
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    return cv2.addWeighted(image, 1 + strength, soft, -strength, 0)


def colour_steps(rng: np.random.Generator) -> list[Step]:
    """Draw a change of light, of saturation, or none; now and then to grey."""
    draw = rng.random()
    if draw < 0.08:
        return [grey]
    if draw < 0.25:
        gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
        bias = float(rng.uniform(-20, 20))
        return [lambda image: _toned(image, gain, bias)]
    if draw < 0.4:
        factor = float(rng.uniform(0.3, 1.6))
        return [lambda image: _saturated(image, factor)]
    return []


def resize_step(side: float, rng: np.random.Generator) -> Step:
    """Draw a resize for a face whose square has `side` px."""
    factor = float(np.exp(rng.uniform(np.log(0.4), np.log(1.3))))
    factor = max(factor, min(_LEAST_SIDE / side, 1.0))
    down = cv2.INTER_AREA if rng.random() < 0.5 else cv2.INTER_LINEAR
    method = int(down if factor < 1 else rng.choice(_RESIZERS))
    return lambda image: cv2.resize(image, None, fx=factor, fy=factor, interpolation=method)


def _texture_steps(rng: np.random.Generator, often: float) -> list[Step]:
    """Draw blur, sharpening and noise, each seldom; `often` scales how often."""
    steps: list[Step] = []
    if rng.random() < 0.04 * often:
        length, angle = float(rng.uniform(2, 9)), float(rng.uniform(0, np.pi))
        steps.append(lambda image: motion_blur(image, length, angle))
    elif rng.random() < 0.12 * often:
        sigma = float(rng.uniform(0.3, 1.2))
        steps.append(lambda image: cv2.GaussianBlur(image, (0, 0), sigma))
    elif rng.random() < 0.12 * often:
        strength = float(rng.uniform(0.2, 1.2))
        steps.append(lambda image: _sharpened(image, strength))
    if rng.random() < 0.22 * often:
        steps.append(_noise_step(rng))
    return steps


def _denoising_step(rng: np.random.Generator) -> Step:
    """Draw what takes noise away: non-local means, a bilateral filter or a median."""
    draw, level = rng.random(), float(rng.uniform(2.0, 6.0))
    if draw < _NON_LOCAL:
        return lambda image: denoise(image, level)
    if draw < 0.7:
        return lambda image: cv2.bilateralFilter(image, 5, 6 * level, 3)
    return lambda image: cv2.medianBlur(image, 3)


def _program_steps(rng: np.random.Generator) -> list[Step]:
    """Draw what programs do to whole pictures: denoising, enhancing contrast, crude resizing."""
    steps: list[Step] = []
    if rng.random() < _DENOISED:
        steps.append(_denoising_step(rng))
    if rng.random() < _ENHANCED:
        limit = float(rng.uniform(1.0, 4.0))
        steps.append(lambda image: clahe(image, limit))
    if rng.random() < _NEAREST:
        factor = float(rng.uniform(0.6, 0.97))
        steps.append(lambda image: rescale(image, factor, cv2.INTER_NEAREST, cv2.INTER_NEAREST))
    return steps


def _noise_step(rng: np.random.Generator) -> Step:
    """Draw noise of 0.5 to 7 grey levels, each pixel's own or in grains."""
    noise, level = int(rng.integers(2**31)), float(np.exp(rng.uniform(-0.7, 1.9)))
    add = add_grain if rng.random() < 0.5 else add_noise
    return _seeded(lambda image, own: add(image, level, own), noise)


def _film_step(rng: np.random.Generator) -> Step:
    """Draw a video whose frame the picture becomes: still or moving, the first frame or later."""
    factor, preset = int(rng.integers(*_FACTOR)), str(rng.choice(_PRESETS))
    across, down = rng.normal(0, 1.0, 2) if rng.random() < 0.8 else (0.0, 0.0)
    before = int(rng.integers(0, 5))
    return lambda image: filmed(image, factor, preset, (float(across), float(down)), before)


def save_step(rng: np.random.Generator) -> Step:
    """Draw a file to save to: mostly JPEG, now and then WebP, AVIF or a video."""
    draw = rng.random()
    if draw > 1 - _FILMED:
        return _film_step(rng)
    if draw < _WEBP + _AVIF:
        save = webp if draw < _WEBP else avif
        quality = int(rng.integers(*_NEW_QUALITY))
        return lambda image: save(image, quality)
    quality = int(rng.integers(*_QUALITY))
    return lambda image: jpeg(image, quality)


def draw_history(side: float, rng: np.random.Generator, varied: bool = False) -> list[Step]:
    """Draw the steps of a history for a face whose square has `side` px.

    One picture in eight passes as the editor left it. `varied` histories change colour, noise and
    sharpness more often, for pictures that were never forged: none of these is evidence.
    """
    last = [_noise_step(rng)] if rng.random() < _NOISE_LAST else []
    if rng.random() < 0.12:
        return last
    steps = colour_steps(rng) if varied or rng.random() < 0.5 else []
    steps += _program_steps(rng)
    if rng.random() < 0.55:
        steps.append(resize_step(side, rng))
    steps += _texture_steps(rng, 1.6 if varied else 1.0)
    if rng.random() < 0.75:
        steps.append(save_step(rng))
        if rng.random() < 0.2:
            steps += [resize_step(side, rng), save_step(rng)]
    return steps + last


def apply(steps: list[Step], image: Image) -> Image:
    """Return `image` [H, W, 3] uint8 after `steps`."""
    for step in steps:
        image = step(image)
    return np.ascontiguousarray(image)
