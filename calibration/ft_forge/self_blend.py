"""A face blended into itself: the seam of a face swap without another face.

After Shiohara and Yamasaki, "Detecting deepfakes with self-blended images", CVPR 2022: what is
learnt from it is the blending, which every swap has in common, and no swap method's own traces.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.blend import Alpha
from ft_forge.faces import Face
from ft_forge.families import Donors, Edit
from ft_forge.geometry import Geometry
from ft_forge.picture import Image
from ft_forge.regions import FRAMED, face_frame
from ft_forge.warp import apply_offset

#: The largest moves of the inserted face: shares of the face's width, and of its size.
_SHIFT, _ZOOM = 0.03, 0.05
#: How strong the inserted face is in the mix.
_OPACITIES = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)


def _recoloured(image: Image, rng: np.random.Generator) -> Image:
    """Shift the channels, and hue, saturation and value, each by a little."""
    shifted = np.clip(image.astype(np.float32) + rng.uniform(-20, 20, 3), 0, 255)
    hsv = cv2.cvtColor(shifted.astype(np.uint8), cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-9, 9)) % 180
    hsv[..., 1:] = np.clip(hsv[..., 1:] * rng.uniform(0.8, 1.2, 2), 0, 255)
    mixed = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR).astype(np.float32)
    gain, bias = rng.uniform(0.88, 1.12), rng.uniform(-12, 12)
    return np.clip(np.round(mixed * gain + bias), 0, 255).astype(np.uint8)


def _resharpened(image: Image, rng: np.random.Generator) -> Image:
    """Soften by a smaller size, or sharpen."""
    if rng.random() < 0.6:
        factor = 1 / float(rng.choice([1.5, 2.0, 2.0, 3.0, 4.0]))
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        method = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
        return cv2.resize(small, image.shape[1::-1], interpolation=method)
    soft, strength = cv2.GaussianBlur(image, (0, 0), 1.2), float(rng.uniform(0.3, 1.0))
    return cv2.addWeighted(image, 1 + strength, soft, -strength, 0)


def _changed(image: Image, rng: np.random.Generator) -> tuple[Image, list[str]]:
    """Recolour or resharpen `image`, or both; return the signs that this leaves."""
    kind, signs = rng.random(), []
    if kind < 0.75:
        image = _recoloured(image, rng)
        signs.append("colour")
    if kind > 0.4:
        image = _resharpened(image, rng)
        signs.append("texture")
    return image, signs


def _moved(image: Image, geometry: Geometry, rng: np.random.Generator) -> Image:
    """Shift and zoom `image` about the face's centre by a little."""
    centre = geometry.part_points("face_oval").mean(0)
    matrix: NDArray[Any] = cv2.getRotationMatrix2D(
        (float(centre[0]), float(centre[1])),
        float(rng.normal(0, 1.0)),
        float(rng.uniform(1 - _ZOOM, 1 + _ZOOM)),
    )
    matrix[:, 2] += rng.uniform(-_SHIFT, _SHIFT, 2) * geometry.face_width
    method = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    size = image.shape[1::-1]
    return cv2.warpAffine(image, matrix, size, flags=method, borderMode=cv2.BORDER_REFLECT)


def _elastic(mask: NDArray[Any], width: float, rng: np.random.Generator) -> NDArray[Any]:
    """Bend the outline of `mask` [H, W] smoothly, by up to a twentieth of the face's `width`."""
    noise = rng.uniform(-1, 1, (6, 6, 2)).astype(np.float32)
    offset = cv2.resize(noise, mask.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    bent: NDArray[Any] = apply_offset(mask, offset * np.float32(0.05 * width))
    return bent


def blending_area(geometry: Geometry, rng: np.random.Generator) -> Alpha:
    """Return where a swapped face goes in, 0..1 [H, W] float32: a soft, bent hull, or a frame."""
    width = geometry.face_width
    if rng.random() < FRAMED:
        return _softened(face_frame(geometry, rng).astype(np.uint8) * 255, width, rng)
    kind = rng.random()
    if kind < 0.55:
        parts = ["face_oval"]
    elif kind < 0.8:  # the inner face, without forehead and chin
        parts = ["left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "nose", "lip"]
    else:
        parts = ["left_eye", "right_eye", "nose", "lip", "left_cheek", "right_cheek", "chin"]
    points = np.concatenate([geometry.part_points(part) for part in parts])
    canvas: NDArray[Any] = np.zeros(geometry.size, np.uint8)
    cv2.fillConvexPoly(canvas, cv2.convexHull(np.round(points).astype(np.int32)), 255)
    area = _elastic(canvas, width, rng)
    radius = max(round(width * float(rng.uniform(0.005, 0.08))), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    area = cv2.erode(area, kernel) if rng.random() < 0.6 else cv2.dilate(area, kernel)
    return _softened(area, width, rng)


def _softened(area: NDArray[Any], width: float, rng: np.random.Generator) -> Alpha:
    """Return `area` [H, W] uint8 with soft edges, 0..1, for a face of `width` px."""
    sigma = width * float(np.exp(rng.uniform(np.log(0.004), np.log(0.06))))
    soft = cv2.GaussianBlur(area.astype(np.float32) / 255, (0, 0), max(sigma, 0.5))
    return np.clip(soft / max(float(soft.max()), 1e-3), 0, 1).astype(np.float32)


def self_blend(face: Face, _donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Blend the face, slightly moved and changed, into itself."""
    background, inserted = face.image, face.image
    traces: list[str] = []
    inserted, traces = _changed(inserted, rng)
    inserted = _moved(inserted, face.geometry, rng)
    alpha = blending_area(face.geometry, rng) * float(rng.choice(_OPACITIES))
    mixed = background + alpha[..., None] * (inserted.astype(np.float32) - background)
    image = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    edge = "soft_edge" if rng.random() < 0.5 else "seam"
    return Edit(image, alpha > 0.4 * alpha.max(), (*traces, edge))
