"""Seven ways to forge: a face and a random stream to a picture and where it changed."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFilter
from scipy import ndimage
from skimage import color, restoration, transform

from benchmarks.independent.areas import (
    Alpha,
    Image,
    Mask,
    Points,
    cloned,
    hull,
    like_histogram,
    like_moments,
    mixed,
    part,
    soft,
    width_of,
)
from ft_forge.geometry import PARTS

_EYES, _BROWS = ("left_eye", "right_eye"), ("left_eyebrow", "right_eyebrow")
#: What is swapped or filled at once.
_GROUPS: tuple[tuple[str, ...], ...] = (
    ("left_eye", "left_eyebrow"), ("right_eye", "right_eyebrow"), (*_EYES, *_BROWS), ("lip",),
    ("nose",),
)  # fmt: skip
_SINGLE: tuple[tuple[str, ...], ...] = (
    *((name,) for name in (*_EYES, *_BROWS)),
    ("lip",),
    ("nose",),
)


@dataclass(frozen=True)
class Photograph:
    """A picture and the landmarks of its face."""

    image: Image
    points: Points


#: Places that a healing brush compares.
_PLACES = 300
#: A forgery and where it changed; None where the edit does not fit.
Made = tuple[Image, Mask] | None
#: What an edit makes of a face, with another person's at hand.
Edit = Callable[[Photograph, Photograph, np.random.Generator], Made]


def _of(groups: tuple[tuple[str, ...], ...], rng: np.random.Generator) -> tuple[str, ...]:
    return groups[int(rng.integers(len(groups)))]


def _warped(image: Image, to_source: Any, shape: tuple[int, ...], order: int) -> Image:
    return np.clip(transform.warp(image, to_source, output_shape=shape[:2], order=order), 0, 1)


def _joined(face: Photograph, patch: Image, area: Mask, rng: np.random.Generator) -> Image:
    """Put `patch` into `area`: by its gradients, or with a soft edge and matched colours."""
    if rng.random() < 0.4:
        return cloned(face.image, patch, area)
    match = like_histogram if rng.random() < 0.5 else like_moments
    width = width_of(face.points)
    inner = ndimage.binary_erosion(area, iterations=max(1, round(0.02 * width)))
    edge = width * rng.uniform(0.01, 0.05) + 0.5
    return mixed(face.image, match(patch, face.image, area), soft(inner, edge))


def face_swap(face: Photograph, donor: Photograph, rng: np.random.Generator) -> Made:
    """Replace the face by another person's, triangle by triangle."""
    chosen = np.union1d(np.arange(0, 468, 6), PARTS["face_oval"])
    mesh = transform.PiecewiseAffineTransform.from_estimate(
        face.points[chosen], donor.points[chosen]
    )
    patch = _warped(donor.image, mesh, face.image.shape, int(rng.choice([1, 3])))
    area = hull(face.image.shape, part(face.points, "face_oval"), rng.uniform(0.85, 0.98))
    return _joined(face, patch, area, rng), area


def part_swap(face: Photograph, donor: Photograph, rng: np.random.Generator) -> Made:
    """Replace eyes, mouth or nose by another person's, turned and scaled to fit."""
    group = _of(_GROUPS, rng)
    here, there = part(face.points, *group), part(donor.points, *group)
    fit = transform.SimilarityTransform.from_estimate(here, there)
    patch = _warped(donor.image, fit, face.image.shape, int(rng.choice([1, 3])))
    area = hull(face.image.shape, here, rng.uniform(1.15, 1.5))
    return _joined(face, patch, area, rng), area


def self_blend(face: Photograph, _: Photograph, rng: np.random.Generator) -> Made:
    """Blend the face into itself, moved a little, and recoloured, resharpened or both."""
    width, kind, patch = width_of(face.points), rng.integers(3), face.image
    if kind != 1:
        hsv = color.rgb2hsv(patch)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-0.03, 0.03)) % 1
        hsv[..., 1:] = np.clip(hsv[..., 1:] * [rng.uniform(0.75, 1.3), rng.uniform(0.9, 1.1)], 0, 1)
        patch = np.clip(color.hsv2rgb(hsv) + rng.uniform(-0.04, 0.04, 3), 0, 1)
    if kind and rng.random() < 0.5:
        patch = _sharpened(patch, 1.5, rng.uniform(0.6, 1.6))
    elif kind:
        patch = _smaller_and_back(patch, rng.uniform(0.35, 0.8), 3)
    centre = transform.SimilarityTransform(translation=-face.points.mean(0))
    move = transform.SimilarityTransform(
        scale=rng.uniform(0.95, 1.05), rotation=np.radians(rng.uniform(-3, 3)),
        translation=rng.uniform(-0.03, 0.03, 2) * width,
    )  # fmt: skip
    patch = _warped(patch, centre + move + centre.inverse, patch.shape, 3)
    whole = rng.random() < 0.6
    names = ("face_oval",) if whole else (*_EYES, *_BROWS, "nose", "lip")
    area = hull(patch.shape, part(face.points, *names), rng.uniform(0.85, 1.05))
    alpha = soft(area, width * rng.uniform(0.015, 0.06)) * rng.choice([0.5, 0.75, 1.0, 1.0, 1.0])
    return mixed(face.image, patch, alpha), alpha > 0.15


def _sharpened(image: Image, radius: float, strength: float) -> Image:
    by = ImageFilter.UnsharpMask(radius, round(100 * strength), threshold=0)
    return np.asarray(as_bytes(image).filter(by), np.float64) / 255


def _smaller_and_back(image: Image, factor: float, order: int) -> Image:
    height, width = image.shape[:2]
    small = (max(round(height * factor), 8), max(round(width * factor), 8))
    down = transform.resize(image, small, order=1, anti_aliasing=True)
    return np.clip(transform.resize(down, (height, width), order=order), 0, 1)


def inpainting(face: Photograph, _: Photograph, rng: np.random.Generator) -> Made:
    """Fill a part, or a spot of the skin, from what surrounds it or from a place that fits."""
    width, shape = width_of(face.points), face.image.shape
    if rng.random() < 0.55:
        area = hull(shape, part(face.points, *_of(_SINGLE, rng)), rng.uniform(1.1, 1.5))
    else:
        spot = face.points[rng.integers(468)] + rng.normal(0, 0.08 * width, (12, 2))
        area = hull(shape, spot)
    if area.sum() < 60:
        return None
    if rng.random() < 0.5:
        return _healed(face.image, area, width, rng)
    near = ndimage.binary_dilation(area, iterations=12)
    rows, columns = (slice(axis.min(), axis.max() + 1) for axis in np.nonzero(near))
    result, hole = face.image.copy(), area[rows, columns]
    seen = result[rows, columns]
    factor = min(1.0, 64 / max(hole.shape))
    small = transform.rescale(seen, factor, channel_axis=-1, anti_aliasing=True)
    open_ = transform.resize(hole.astype(float), small.shape[:2]) > 0.3
    filled = restoration.inpaint_biharmonic(small, open_, channel_axis=-1)
    seen[hole] = np.clip(transform.resize(filled, seen.shape), 0, 1)[hole]
    return result, area


def _healed(image: Image, area: Mask, width: float, rng: np.random.Generator) -> Made:
    """Clone the place whose surroundings are most like those of `area`."""
    around = ndimage.binary_dilation(area, iterations=4)
    ys, xs = np.nonzero(around)
    rim = ~area[ys, xs]
    reach, best = round(0.6 * width), (np.inf, 0, 0)
    for dy, dx in rng.integers(-reach, reach + 1, (_PLACES, 2)):
        there = ys + dy, xs + dx
        low, high = np.min(there, 1), np.max(there, 1)
        if (low < 0).any() or (high >= area.shape).any() or area[there].any():
            continue
        away = float(np.abs(image[there] - image[ys, xs])[rim].mean())
        best = min(best, (away, int(dy), int(dx)))
    if not np.isfinite(best[0]):
        return None
    patch = np.roll(image, (-best[1], -best[2]), (0, 1))
    joined = (
        cloned(image, patch, area) if rng.random() < 0.6 else mixed(image, patch, soft(area, 1))
    )
    return joined, area


def _blurred(image: Image, sigma: float) -> Image:
    return np.asarray(ndimage.gaussian_filter(image, (sigma, sigma, 0)))


def retouching(face: Photograph, _: Photograph, rng: np.random.Generator) -> Made:
    """Smooth the skin, paint the lips, or brighten and sharpen the eyes."""
    image, width, kind = face.image, width_of(face.points), rng.integers(4)
    if kind < 2:
        area = hull(image.shape, part(face.points, "face_oval"))
        for name in (*_EYES, *_BROWS, "lip"):
            area &= ~hull(image.shape, part(face.points, name), 1.2)
        fine = image - _blurred(image, 0.03 * width)
        patch = _blurred(image, 0.05 * width) + rng.uniform(0.2, 0.6) * fine
        if kind:
            patch = restoration.denoise_tv_chambolle(
                image, weight=rng.uniform(0.05, 0.15), channel_axis=-1, max_num_iter=40
            )
    elif kind == 2:
        area, hsv = hull(image.shape, part(face.points, "lip"), 1.05), color.rgb2hsv(image)
        hsv[..., 0] = rng.uniform(0.94, 1.01) % 1
        hsv[..., 1:] = np.clip(hsv[..., 1:] * [rng.uniform(1.4, 2), rng.uniform(0.75, 1.05)], 0, 1)
        patch = color.hsv2rgb(hsv)
    else:
        left, right = (hull(image.shape, part(face.points, eye), 1.3) for eye in _EYES)
        area, sharp = left | right, rng.uniform(1.2, 2.5)
        patch = _sharpened(image, 0.012 * width + 0.5, sharp) * rng.uniform(1.03, 1.2)
    alpha = soft(area, 0.012 * width + 0.5) * rng.uniform(0.7, 1)
    return mixed(image, np.clip(patch, 0, 1), alpha), area


def local_warp(face: Photograph, _: Photograph, rng: np.random.Generator) -> Made:
    """Enlarge the eyes or the mouth, make the nose smaller, or narrow the jaw."""
    width, points, kind = width_of(face.points), face.points, rng.integers(4)
    height, across = face.image.shape[:2]
    ys, xs = np.mgrid[:height, :across].astype(np.float64)
    offset = np.zeros((2, height, across))

    def near(centre: Points, radius: float) -> Alpha:
        away = ((xs - centre[0]) ** 2 + (ys - centre[1]) ** 2) / radius**2
        return np.asarray(np.clip(1 - away, 0, 1) ** 2)

    if kind < 3:
        names, radius, sign = ((_EYES, 0.2, 1), (("nose",), 0.27, -1), (("lip",), 0.27, 1))[kind]
        strength = sign * rng.uniform(0.15, 0.35)
        for name in names:
            centre = part(points, name).mean(0)
            fall = near(centre, radius * width)
            offset -= strength * fall * np.stack([ys - centre[1], xs - centre[0]])
    else:
        for index, inward in ((172, 1), (397, -1)):  # the corners of the jaw
            offset[1] -= inward * rng.uniform(0.03, 0.06) * width * near(points[index], 0.3 * width)
    area = ndimage.binary_fill_holes(np.hypot(*offset) > 0.6)
    if area is None or area.sum() < 100:
        return None
    place, order = np.stack([ys, xs]) + offset, int(rng.choice([1, 3]))
    planes = [
        ndimage.map_coordinates(face.image[..., channel], place, order=order, mode="reflect")
        for channel in range(3)
    ]
    return np.clip(np.stack(planes, -1), 0, 1), area


def resampling(face: Photograph, _: Photograph, rng: np.random.Generator) -> Made:
    """Make an area smaller and larger again, turn it to and fro, or save it as JPEG."""
    groups = (("face_oval",), (*_EYES, *_BROWS), ("lip",), ("nose", "lip"))
    around, image, kind = part(face.points, *_of(groups, rng)), face.image, rng.integers(3)
    area = hull(image.shape, around, rng.uniform(0.95, 1.25))
    if kind == 0:
        patch = _smaller_and_back(image, rng.uniform(0.3, 0.75), int(rng.choice([1, 3])))
    elif kind == 1:
        angle, order = rng.uniform(1, 6), int(rng.choice([1, 3]))
        turned = transform.rotate(image, angle, order=order, mode="reflect")
        patch = transform.rotate(turned, -angle, order=order, mode="reflect")
    else:
        data = io.BytesIO()
        as_bytes(image).save(data, "JPEG", quality=int(rng.integers(25, 60)))
        patch = np.asarray(Pillow.open(data), np.float64) / 255
    edge = rng.uniform(0.5, 0.02 * width_of(face.points) + 0.6)
    return mixed(image, np.clip(patch, 0, 1), soft(area, edge)), area


def as_bytes(image: Image) -> Pillow.Image:
    """Return `image` as Pillow saves it."""
    return Pillow.fromarray(np.round(255 * np.clip(image, 0, 1)).astype(np.uint8))


EDITS: tuple[Edit, ...] = (
    face_swap, part_swap, self_blend, inpainting, retouching, local_warp, resampling,
)  # fmt: skip
