"""What stands before a face: where it is, and that nothing of it looks pasted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_forge.degrade import add_noise
from ft_forge.geometry import PARTS
from ft_forge.occluders import KINDS, draw_occluder, noise_level
from tests.unit.forge.forge_faces import SIDE, landmarks

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def covered(kind: str, seed: int) -> np.ndarray:
    """Return where an object changes a grey picture by much, [SIDE, SIDE] bool."""
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    occluder = draw_occluder(landmarks(), np.random.default_rng(seed), kind)
    return np.abs(occluder.image(grey).astype(int) - 128).max(2) > 4


@EVERY_KIND
def test_same_seed_same_object_and_the_picture_is_left_alone(kind: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    picture.setflags(write=False)
    once, again, other = (
        draw_occluder(landmarks(), np.random.default_rng(seed), kind).image(picture)
        for seed in (3, 3, 4)
    )
    assert (once == again).all()
    assert (once != other).any()


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 1000))
def test_every_object_stands_before_the_face_and_leaves_some_of_the_picture(
    kind: str, seed: int
) -> None:
    where = covered(kind, seed)
    points = landmarks()[PARTS["face_oval"]]
    x, y, width, height = cv2.boundingRect(points)
    near = where[max(y - height // 3, 0) : y + height, max(x, 0) : x + width]
    assert near.any()
    assert where.mean() < 0.6


@pytest.mark.parametrize(
    ("kind", "hidden", "seen"),
    [
        ("mask", "lip", "left_eyebrow"),
        ("glasses", "left_eye", "lip"),
        ("glasses", "right_eye", "chin"),
    ],
)
def test_masks_and_glasses_are_where_they_are_worn(kind: str, hidden: str, seen: str) -> None:
    for seed in range(20):
        occluder = draw_occluder(landmarks(), np.random.default_rng(seed), kind)
        canvas = np.zeros((SIDE, SIDE), np.uint8)
        for outline in occluder.outlines:
            cv2.fillPoly(canvas, [np.round(outline).astype(np.int32)], 1)
        for part, inside in ((hidden, 1), (seen, 0)):
            x, y = np.round(landmarks()[PARTS[part]].mean(0)).astype(int)
            assert canvas[y, x] == inside


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_an_object_has_the_noise_of_its_picture(sigma: float) -> None:
    noisy = add_noise(np.full((SIDE, SIDE, 3), 128, np.uint8), sigma, np.random.default_rng(0))
    assert noise_level(noisy) == pytest.approx(0.7 * sigma, rel=0.35)
    for seed in range(20):
        occluder = draw_occluder(landmarks(), np.random.default_rng(seed), "mask")
        surface = occluder._surface(noisy)
        assert noise_level(surface.astype(np.uint8)) > 0.4 * noise_level(noisy)
