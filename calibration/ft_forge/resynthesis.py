"""An area as a generator returns it: through fewer numbers, and up again.

Every generator ends by enlarging; what that leaves (lost grain, periodic patterns, flattened
colours) is the trace that all of them share. Masks and words are those of a generative edit.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.blend import Blend, composite
from ft_forge.degrade import add_grain
from ft_forge.faces import Face
from ft_forge.families import Donors, Edit
from ft_forge.picture import Image
from ft_forge.regions import face_area, parts_mask, random_parts

#: How often a trained autoencoder's picture is taken, where the face folder has any.
AUTOENCODED = 0.65


def _enlarged(small: NDArray[Any], size: tuple[int, int], rng: np.random.Generator) -> NDArray[Any]:
    """Enlarge `small` to `size` (width, height) by one of the ways that generators use."""
    kind = rng.random()
    if kind < 0.3:
        return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    if kind < 0.5:
        return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    # Nearest, then a small random kernel: a transposed convolution's checkerboard.
    rough = cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)
    side = int(rng.choice([2, 3, 4, 5]))
    kernel = rng.uniform(0.3, 1.0, (side, side)).astype(np.float32)
    return cv2.filter2D(rough, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def _principal(image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Keep the largest principal components of the picture's 8x8 blocks, as a bottleneck does."""
    height, width = (side // 8 * 8 for side in image.shape[:2])
    if min(height, width) < 16:
        return image
    blocks = image[:height, :width].reshape(height // 8, 8, width // 8, 8, 3)
    rows = blocks.transpose(0, 2, 1, 3, 4).reshape(-1, 192)
    mean = rows.mean(0)
    some = (rows - mean)[:: max(len(rows) // 600, 1)]
    _, basis = np.linalg.eigh(some.T @ some)  # ascending, and 100 times faster than svd of `some`
    kept = basis[:, -int(rng.integers(10, 40)) :]
    back = ((rows - mean) @ kept) @ kept.T + mean
    result = image.copy()
    shaped = back.reshape(height // 8, width // 8, 8, 8, 3).transpose(0, 2, 1, 3, 4)
    result[:height, :width] = shaped.reshape(height, width, 3)
    return result


def coarsened(image: Image, rng: np.random.Generator) -> Image:
    """Return `image` [H, W, 3] uint8 through fewer numbers and up again, without a model."""
    size = image.shape[1::-1]
    factor = 1 / float(rng.uniform(1.5, 4.0))
    down = int(rng.choice([cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=down).astype(np.float32)
    if rng.random() < 0.4:
        small = _principal(small, rng)
    result = _enlarged(small, size, rng)
    if rng.random() < 0.5:  # decoders sharpen what they have blurred
        soft, strength = cv2.GaussianBlur(result, (0, 0), 1.5), float(rng.uniform(0.3, 1.5))
        result = result + strength * (result - soft)
    if rng.random() < 0.3:  # a grid of the last layers' stride
        stride = int(rng.choice([2, 4, 8]))
        grid = rng.normal(0, float(rng.uniform(0.5, 2.0)), (stride, stride, 3)).astype(np.float32)
        repeats = (-(-size[1] // stride), -(-size[0] // stride), 1)
        result = result + np.tile(grid, repeats)[: size[1], : size[0]]
    made = np.clip(np.round(result), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        made = add_grain(made, float(rng.uniform(0.5, 2.5)), rng)
    return made


def generated(face: Face, donors: Donors, rng: np.random.Generator) -> Image:
    """Return the picture of `face` [H, W, 3] uint8 with the face as a generator returns it."""
    made = donors.regenerated(face, rng) if rng.random() < AUTOENCODED else None
    return coarsened(face.image, rng) if made is None else made


def resynthesis(face: Face, donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Put a regenerated face, or regenerated parts, in place of the real one."""
    patch = generated(face, donors, rng)
    kind = rng.random()
    if kind < 0.45:
        area = face_area(face.geometry, rng)
    elif kind < 0.65:  # many generators return hair and neck too
        area = face.geometry.hull("face_oval", float(rng.uniform(0.05, 0.3)))
    else:
        area = parts_mask(face.geometry, random_parts(rng), rng)
    sigma = float(rng.uniform(0.004, 0.04)) * face.geometry.face_width
    blend = Blend("feather", max(sigma, 0.6), 1.0, 0.0)
    image, alpha = composite(face.image, patch, area, blend)
    return Edit(image, alpha > 0.4, ("texture", "soft_edge"))
