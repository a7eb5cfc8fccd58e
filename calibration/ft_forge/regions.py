"""Which areas a forgery touches: one to four parts, with shapes that vary."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.geometry import Geometry

Mask = NDArray[np.bool_]

#: Parts by the sides that are changed together, with how often each is drawn.
_CHOICES: dict[str, tuple[tuple[str, ...], float]] = {
    "eyes": (("left_eye", "right_eye"), 3.0),
    "one eye": (("left_eye",), 1.0),
    "other eye": (("right_eye",), 1.0),
    "eyebrows": (("left_eyebrow", "right_eyebrow"), 1.6),
    "one eyebrow": (("right_eyebrow",), 0.5),
    "other eyebrow": (("left_eyebrow",), 0.5),
    "lip": (("lip",), 3.0),
    "nose": (("nose",), 3.0),
    "forehead": (("forehead",), 1.5),
    "chin": (("chin",), 1.5),
    "left cheek": (("left_cheek",), 0.8),
    "right cheek": (("right_cheek",), 0.8),
    "cheeks": (("left_cheek", "right_cheek"), 0.6),
    "jaw": (("left_jaw", "right_jaw"), 0.5),
    "one jaw": (("left_jaw",), 0.3),
    "other jaw": (("right_jaw",), 0.3),
    "pupils": (("left_pupil", "right_pupil"), 0.5),
}
#: How often a replaced face has the outline of a frame and not of a face, and how often of those
#: the frame holds only the lower half.
FRAMED, _LOWER_HALF = 0.25, 0.4


def random_parts(rng: np.random.Generator, most: int = 4) -> list[str]:
    """Draw one to `most` parts; returns side names such as "left_eye"."""
    names = list(_CHOICES)
    weights = np.array([_CHOICES[name][1] for name in names])
    share = np.array([0.5, 0.27, 0.14, 0.09])[:most]
    count = 1 + int(rng.choice(len(share), p=share / share.sum()))
    chosen = rng.choice(len(names), size=count, replace=False, p=weights / weights.sum())
    return sorted({side for index in chosen for side in _CHOICES[names[index]][0]})


def parts_mask(geometry: Geometry, parts: list[str], rng: np.random.Generator) -> Mask:
    """Return the union of the parts' areas `[H, W]` bool, each with its own growth and shape."""
    mask = np.zeros(geometry.size, bool)
    style = rng.random()
    for part in parts:
        grow = float(rng.uniform(0.0, 0.07))
        if "pupil" in part:
            grow = float(rng.uniform(0.0, 0.02))
        if style < 0.65:
            mask |= geometry.hull(part, grow)
        elif style < 0.85:
            mask |= ellipse_over(geometry.hull(part, grow), rng)
        else:
            mask |= box_over(geometry.hull(part, grow / 2))
    return mask


def ellipse_over(mask: Mask, rng: np.random.Generator) -> Mask:
    """Return an ellipse about as large as the bounding box of `mask` `[H, W]` bool."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    centre = (x + w / 2 + rng.normal(0, 0.04 * w), y + h / 2 + rng.normal(0, 0.04 * h))
    scale = rng.uniform(1.0, 1.3)
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.ellipse(canvas, (centre, (w * scale, h * scale), float(rng.uniform(-12, 12))), 1, -1)
    return canvas.astype(bool)


def box_over(mask: Mask) -> Mask:
    """Return the bounding box of `mask` `[H, W]` bool."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    box = np.zeros(mask.shape, bool)
    box[y : y + h, x : x + w] = True
    return box


def random_patch(geometry: Geometry, rng: np.random.Generator) -> Mask:
    """Return a free area on or near the face: an ellipse, a blob or a box, `[H, W]` bool."""
    oval = geometry.part_points("face_oval")
    low, high = oval.min(0), oval.max(0)
    centre = rng.uniform(low, high)
    size = rng.uniform(0.12, 0.5, 2) * geometry.face_width
    canvas = np.zeros(geometry.size, np.uint8)
    kind = rng.random()
    if kind < 0.4:
        cv2.ellipse(canvas, (centre.tolist(), size.tolist(), float(rng.uniform(0, 180))), 1, -1)
    elif kind < 0.75:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(6, 14))))
        radii = rng.uniform(0.6, 1.2, len(angles))
        corners = (
            centre + 0.5 * np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] * size
        )
        cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 1)
    else:
        (x0, y0), (x1, y1) = np.round(centre - size / 2), np.round(centre + size / 2)
        cv2.rectangle(canvas, (int(x0), int(y0)), (int(x1), int(y1)), 1, -1)
    return canvas.astype(bool)


def face_frame(geometry: Geometry, rng: np.random.Generator) -> Mask:
    """Return a rectangle along the face's axes `[H, W]` bool, as programs put back what they cut.

    Face swaps replace most of the face in it, lip synchronisation the half below the nose.
    """
    eyes = [geometry.part_points(f"{side}_eye").mean(0) for side in ("right", "left")]
    across = (eyes[1] - eyes[0]) / max(float(np.linalg.norm(eyes[1] - eyes[0])), 1e-3)
    axes = np.stack([across, [-across[1], across[0]]])  # to the subject's left, and down

    def extent(part: str, axis: int) -> tuple[float, float]:
        along = geometry.part_points(part) @ axes[axis]
        return float(along.min()), float(along.max())

    left, right = extent("face_oval", 0)
    hairline, chin = extent("face_oval", 1)
    width = right - left
    if rng.random() < _LOWER_HALF:
        top, inset = rng.uniform(*extent("nose", 1)), 0.2
    else:
        brows = min(extent("left_eyebrow", 1)[0], extent("right_eyebrow", 1)[0])
        top, inset = rng.uniform(hairline, brows), 0.08
    left += width * rng.uniform(-0.08, inset)
    right -= width * rng.uniform(-0.08, inset)
    bottom = chin + width * rng.uniform(-0.08, 0.1)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) @ axes
    canvas = np.zeros(geometry.size, np.uint8)
    cv2.fillConvexPoly(canvas, np.round(corners).astype(np.int32), 1)
    return canvas.astype(bool)


def face_area(geometry: Geometry, rng: np.random.Generator) -> Mask:
    """Return the whole face or its inner part `[H, W]` bool, as face swaps replace it."""
    if rng.random() < FRAMED:
        return face_frame(geometry, rng)
    oval = geometry.hull("face_oval", 0.0)
    shrink = rng.random()
    if shrink < 0.35:
        return oval
    radius = int(rng.uniform(0.01, 0.1) * geometry.face_width)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    face = cv2.erode(oval.astype(np.uint8), kernel).astype(bool)
    if shrink > 0.8:  # many face swappers keep the forehead
        brows = np.concatenate([geometry.part_points(f"{s}_eyebrow") for s in ("left", "right")])
        face[: max(0, int(brows[:, 1].min() - 0.08 * geometry.face_width))] = False
    return face
