"""What a picture suffers on its way, in fixed strengths, to see what of an answer survives.

The first three after JPEG are the authors' sets: down to 0.75 and back with nearest neighbour,
Gaussian blur 5x5 (OpenCV's sigma for that kernel, 1.1), and both.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.degrade import (
    add_noise,
    avif,
    chromatic_aberration,
    clahe,
    denoise,
    grey,
    jpeg,
    motion_blur,
    rescale,
)

Pixels = NDArray[np.uint8]
Distortion = Callable[[Pixels, np.random.Generator], Pixels]

#: Standard deviation of the noise in grey levels of 255.
NOISE = 5.0
#: How far the camera moved, as a share of the picture's longer side, and in which direction.
MOVED, MOVED_TOWARDS = 0.01, 0.5
#: How much larger than green a cheap lens shows blue and red about the picture's middle.
SPREAD = (1.002, 0.998)
#: The size at which a viewer shows the picture that is then captured.
SCREEN = 0.8


def _resize(image: Pixels) -> Pixels:
    return rescale(image, 0.75, cv2.INTER_NEAREST, cv2.INTER_NEAREST)


def _blur(image: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (5, 5), 0), np.uint8)


def _half(image: Pixels) -> Pixels:
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(half, np.uint8)


def _total_variation(image: Pixels) -> Pixels:
    """Denoise by total variation with an L1 data term (Chambolle and Pock, 2011).

    The histories of nano's training hold other ways of denoising, and not this one.
    """
    smooth = np.empty_like(image)
    for channel in range(image.shape[2]):
        one = np.ascontiguousarray(image[..., channel])
        denoised = np.empty_like(one)
        cv2.denoise_TVL1([one], denoised)
        smooth[..., channel] = denoised
    return smooth


def _screenshot(image: Pixels) -> Pixels:
    """Show the picture smaller, bilinear and without antialiasing, and capture that."""
    shown = cv2.resize(image, None, fx=SCREEN, fy=SCREEN, interpolation=cv2.INTER_LINEAR)
    return np.asarray(shown, np.uint8)


def _moved(image: Pixels) -> Pixels:
    return motion_blur(image, MOVED * max(image.shape[:2]), MOVED_TOWARDS)


def _spread(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    return chromatic_aberration(image, (width / 2, height / 2), SPREAD)


#: By name: a function of a picture [H, W, 3] uint8 BGR that returns another, of its size but for
#: the half size and the screenshot.
DISTORTIONS: dict[str, Distortion] = {
    "jpeg_90": lambda image, _: jpeg(image, 90),
    "jpeg_70": lambda image, _: jpeg(image, 70),
    "jpeg_50": lambda image, _: jpeg(image, 50),
    "resize_0.75": lambda image, _: _resize(image),
    "blur_5x5": lambda image, _: _blur(image),
    "resize_0.75_blur_5x5": lambda image, _: _blur(_resize(image)),
    "noise_5": lambda image, rng: add_noise(image, NOISE, rng),
    "half_size_jpeg_80": lambda image, _: jpeg(_half(image), 80),
    "screenshot_0.8": lambda image, _: _screenshot(image),
    "grey": lambda image, _: grey(image),
    "contrast": lambda image, _: clahe(image, 2.0),
    "denoised": lambda image, _: denoise(image, 4.0),
    "total_variation": lambda image, _: _total_variation(image),
    "avif_50": lambda image, _: avif(image, 50),
    "motion_blur": lambda image, _: _moved(image),
    "chromatic_aberration": lambda image, _: _spread(image),
}


def distort(image: Pixels, name: str, seed: int) -> Pixels:
    """Return a picture [H, W, 3] uint8 BGR after the distortion `name`; a seed makes one noise.

    Its size stays, but for `half_size_jpeg_80` and `screenshot_0.8`.
    """
    return DISTORTIONS[name](image, np.random.default_rng(seed))
