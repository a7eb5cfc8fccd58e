"""Families that make new content in place: inpainting, retouching, local warp, copy-move."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.blend import Alpha, Blend, Mask, composite, random_blend
from ft_forge.degrade import add_noise
from ft_forge.faces import Face
from ft_forge.families import Donors, Edit
from ft_forge.picture import Image
from ft_forge.regions import parts_mask, random_parts, random_patch
from ft_forge.warp import apply_offset, bulge, push


def _some_area(face: Face, rng: np.random.Generator, patches: float) -> Mask:
    if rng.random() < patches:
        return random_patch(face.geometry, rng)
    return parts_mask(face.geometry, random_parts(rng), rng)


def _fill_by_pyramid(image: Image, hole: Mask) -> Image:
    """Fill `hole` `[H, W]` bool with ever wider averages of what surrounds it."""
    weight: Alpha = (~hole).astype(np.float32)
    total: NDArray[Any] = image * weight[..., None]
    levels = [(total, weight)]
    while min(weight.shape) > 4:
        total, weight = cv2.pyrDown(total), cv2.pyrDown(weight)
        levels.append((total, weight))
    filled = levels[-1][0] / (levels[-1][1][..., None] + 1e-6)
    for total, weight in reversed(levels[:-1]):
        up = cv2.pyrUp(filled, dstsize=weight.shape[::-1])
        share = np.clip(weight, 0, 1)[..., None]
        filled = share * total / (weight[..., None] + 1e-6) + (1 - share) * up
    return np.clip(filled, 0, 255).astype(np.uint8)


def inpainting(face: Face, _donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Remove parts and fill the hole from its surroundings."""
    area = _some_area(face, rng, 0.25)
    method = rng.random()
    if method < 0.75:
        flag = cv2.INPAINT_TELEA if method < 0.4 else cv2.INPAINT_NS
        radius = float(rng.integers(2, 8))
        filled = cv2.inpaint(face.image, area.astype(np.uint8), radius, flag)
    else:
        filled = _fill_by_pyramid(face.image, area)
    if rng.random() < 0.35:
        filled = add_noise(filled, float(rng.uniform(1, 6)), rng)
    blend = Blend("feather", float(rng.uniform(0.3, 2.5)), 1.0, 0.0)
    image, alpha = composite(face.image, filled, area, blend)
    return Edit(image, alpha > 0.4, ("missing", "blur", "texture"))


def _retouched(image: Image, rng: np.random.Generator) -> tuple[Image, str]:
    kind = rng.random()
    if kind < 0.3:
        sigma = float(rng.uniform(25, 80))
        return cv2.bilateralFilter(image, 9, sigma, float(rng.uniform(4, 12))), "smooth"
    if kind < 0.45:
        return cv2.medianBlur(image, int(rng.choice([5, 7, 9]))), "smooth"
    if kind < 0.65:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(1.2, 4))), "smooth"
    if kind < 0.75:
        soft = cv2.GaussianBlur(image, (0, 0), 2.0)
        return cv2.addWeighted(image, 1 + (a := float(rng.uniform(0.7, 2))), soft, -a, 0), "sharp"
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB).astype(np.float32)
    shift = rng.uniform(-1, 1, 3) * np.array([30, 16, 16])
    shift *= max(1.0, 10 / (np.abs(shift).max() + 1e-3))
    lab = np.clip(lab + shift, 0, 255).astype(np.uint8)
    return cv2.cvtColor(lab, cv2.COLOR_LAB2BGR), "colour"


def _relit(image: Image, rng: np.random.Generator) -> Image:
    """Let a soft light fall from one side: brighter there, darker on the other."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    ramp = (xs * np.cos(angle) + ys * np.sin(angle)).astype(np.float32)[..., None]
    gain = np.exp(ramp * np.float32(rng.uniform(0.25, 0.8)) * rng.uniform(0.9, 1.1, 3))
    return np.clip(np.round(image * gain), 0, 255).astype(np.uint8)


def _whitened(image: Image, rng: np.random.Generator) -> Image:
    """Brighten and take the colour out, as eyes and teeth are whitened."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 1] *= rng.uniform(0.2, 0.7)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(1.12, 1.4), 0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)


def _skin_smoothed(image: Image, rng: np.random.Generator) -> Image:
    """Even out the skin's middle frequencies and give some of the finest back."""
    width = float(np.exp(rng.uniform(np.log(0.006), np.log(0.02)))) * image.shape[1]
    base = cv2.bilateralFilter(image, 0, float(rng.uniform(15, 45)), width).astype(np.float32)
    fine = image - cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32)
    return np.clip(np.round(base + rng.uniform(0, 0.8) * fine), 0, 255).astype(np.uint8)


def retouching(face: Face, _donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Smooth, sharpen, recolour, relight or whiten parts or the skin."""
    geometry, kind = face.geometry, rng.random()
    if kind < 0.2:
        area, patch, trace = geometry.skin, _skin_smoothed(face.image, rng), "smooth"
    elif kind < 0.3:
        area, patch, trace = geometry.hull("face_oval", 0.0), _relit(face.image, rng), "light"
    elif kind < 0.4:
        whitened = ["left_eye", "right_eye"] if rng.random() < 0.5 else ["lip"]
        area = parts_mask(geometry, whitened, rng)
        patch, trace = _whitened(face.image, rng), "colour"
    else:
        area = geometry.skin if rng.random() < 0.3 else _some_area(face, rng, 0.25)
        patch, trace = _retouched(face.image, rng)
    blend = Blend("feather", float(rng.uniform(0.5, 6)), float(rng.uniform(0.7, 1.0)), 0.0)
    image, alpha = composite(face.image, patch, area, blend)
    return Edit(image, alpha > 0.4, (trace, "texture"))


def local_warp(face: Face, _donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Enlarge, shrink or push parts; the background bends with them."""
    size, width = face.geometry.size, face.geometry.face_width
    offset = np.zeros((*size, 2), np.float32)
    for part in random_parts(rng, most=3):
        points = face.geometry.part_points(part)
        centre = points.mean(0)
        radius = float(np.linalg.norm(points - centre, axis=1).max()) * rng.uniform(1.2, 1.9)
        radius = max(radius, 0.08 * width)
        if rng.random() < 0.55:
            strength = float(rng.uniform(0.12, 0.38) * rng.choice([-1, 1]))
            offset += bulge(size, centre, radius, strength)
        else:
            by = rng.normal(0, 1, 2)
            by *= rng.uniform(0.12, 0.3) * radius / (np.linalg.norm(by) + 1e-6)
            offset += push(size, centre, radius, by)
    support = np.linalg.norm(offset, axis=-1) > 0.6
    return Edit(apply_offset(face.image, offset), support, ("warp", "shape"))


def copy_move(face: Face, _donors: Donors, rng: np.random.Generator) -> Edit | None:
    """Copy an area of the same picture over another place, turned and scaled a little."""
    area = _some_area(face, rng, 0.5)
    x, y, w, h = cv2.boundingRect(area.astype(np.uint8))
    height, width = face.geometry.size
    if w < 6 or h < 6:
        return None
    move = rng.uniform(-0.45, 0.45, 2) * face.geometry.face_width
    move += np.sign(move) * np.array([w, h]) * 0.4
    matrix = cv2.getRotationMatrix2D(
        (x + w / 2, y + h / 2), float(rng.normal(0, 8)), float(rng.uniform(0.85, 1.2))
    )
    matrix[:, 2] += np.clip(move, [-x, -y], [width - x - w, height - y - h])
    if rng.random() < 0.25:  # pixels moved whole keep their noise: the classic copy-move
        matrix[:, :2] = np.eye(2)
        matrix[:, 2] = np.round(np.clip(move, [-x, -y], [width - x - w, height - y - h]))
    patch = cv2.warpAffine(face.image, matrix, (width, height), flags=cv2.INTER_CUBIC,
                           borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    moved = cv2.warpAffine(area.astype(np.uint8), matrix, (width, height)).astype(bool)
    image, alpha = composite(face.image, patch, moved, random_blend(rng, hard=0.25))
    return Edit(image, alpha > 0.4, ("doubled", "seam"))
