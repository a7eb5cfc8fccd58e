"""Putting a patch into a face: soft edges, colour match, Poisson, and what really changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.picture import Image

#: Weights 0..1, `[H, W]` float32.
Alpha = NDArray[Any]
Mask = NDArray[np.bool_]

#: A pixel counts as changed when its smoothed largest channel difference exceeds this (of 255).
CHANGE_THRESHOLD = 1.5


@dataclass(frozen=True)
class Blend:
    """How a patch goes in: `edge` "hard", "feather" or "poisson", `sigma` pixels of softness,
    `opacity` 0..1, `colour` 0..1 how far the patch's colours are pulled to the surroundings."""

    edge: str
    sigma: float
    opacity: float
    colour: float


def random_blend(rng: np.random.Generator, hard: float = 0.12, poisson: float = 0.2) -> Blend:
    """Draw a blend, from a cut-out with hard edges to one that is nearly invisible."""
    draw = rng.random()
    edge = "hard" if draw < hard else "poisson" if draw < hard + poisson else "feather"
    opacity = 1.0 if rng.random() < 0.75 else float(rng.uniform(0.6, 1.0))
    colour = float(rng.choice([0.0, 0.5, 1.0], p=[0.25, 0.25, 0.5]))
    return Blend(edge, float(rng.uniform(0.7, 7.0)), opacity, colour)


def feathered(mask: Mask, sigma: float) -> Alpha:
    """Return `mask` `[H, W]` bool as alpha 0..1 whose edge is `sigma` pixels soft."""
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(sigma, 0.3))


def match_colour(patch: Image, target: Image, mask: Mask, strength: float) -> Image:
    """Pull mean and deviation of `patch` inside `mask` to those of `target`, in CIE Lab.

    Reinhard et al., "Color transfer between images", 2001. Both `[H, W, 3]` uint8 BGR.
    """
    if strength <= 0 or not mask.any():
        return patch
    lab = cv2.cvtColor(patch, cv2.COLOR_BGR2LAB).astype(np.float32)
    goal = cv2.cvtColor(target, cv2.COLOR_BGR2LAB)[mask].astype(np.float32)
    have = lab[mask]
    gain = np.clip(goal.std(0) / (have.std(0) + 1e-3), 0.6, 1.6)
    moved = (lab - have.mean(0)) * gain + goal.mean(0)
    lab += strength * (moved - lab)
    return cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR)


def poisson(patch: Image, target: Image, mask: Mask) -> Image:
    """Clone `patch` into `target`, [H, W, 3] uint8, where `mask` [H, W] bool is set.

    By gradients: Pérez et al., "Poisson Image Editing" (2003), as OpenCV has it.
    """
    inside = np.zeros(mask.shape, np.uint8)
    inside[2:-2, 2:-2] = mask[2:-2, 2:-2]
    ys, xs = np.nonzero(inside)
    if len(ys) < 16:
        return target
    # OpenCV centres the mask's bounding box on the given point; this one keeps it in place.
    centre = (int(xs.min() + xs.max() + 1) // 2, int(ys.min() + ys.max() + 1) // 2)
    return cv2.seamlessClone(patch, target, inside * 255, centre, cv2.NORMAL_CLONE)


def composite(target: Image, patch: Image, mask: Mask, blend: Blend) -> tuple[Image, Alpha]:
    """Return `target` with `patch` in `mask`, `[H, W, 3]` uint8, and the alpha that was used."""
    if blend.edge == "poisson":
        patch, alpha = poisson(patch, target, mask), feathered(mask, 0.8)
    else:
        patch = match_colour(patch, target, mask, blend.colour)
        alpha = feathered(mask, 0.3 if blend.edge == "hard" else blend.sigma)
    weight = (alpha * blend.opacity)[..., None]
    mixed = target + weight * (patch.astype(np.float32) - target)
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8), alpha


def changed_mask(before: Image, after: Image, support: Mask) -> Mask:
    """Return where `after` really differs from `before` inside `support`, `[H, W]` bool.

    Holes are closed, specks dropped: a mask is an area, not single pixels.
    """
    blue, green, red = cv2.split(cv2.absdiff(before, after))
    difference = cv2.max(cv2.max(blue, green), red).astype(np.float32)
    changed = (cv2.blur(difference, (5, 5)) > CHANGE_THRESHOLD) & support
    area = int(support.sum())
    if changed.sum() > 0.85 * area:
        return support.copy()
    closing = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    mask = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, closing)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return (_filled(mask) & support.astype(np.uint8)).astype(bool)


def _filled(mask: Image) -> Image:
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED)
