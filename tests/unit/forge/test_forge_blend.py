from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_forge.blend import Blend, changed_mask, composite, match_colour
from ft_forge.degrade import add_grain, add_noise, degrade, jpeg, rescale
from ft_forge.warp import align_by_points, apply_offset, bulge, mesh_warp
from tests.unit.forge.forge_faces import SIDE, landmarks


def picture(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 215, (12, 12, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))


def box(low: int, high: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[low:high, low:high] = True
    return mask


@pytest.mark.parametrize("edge", ["hard", "feather", "poisson"])
def test_far_from_the_mask_nothing_changes(edge: str) -> None:
    before, patch, mask = picture(0), picture(1), box(70, 120)
    after, _ = composite(before, patch, mask, Blend(edge, 2.0, 1.0, 0.0))
    far = ~box(50, 140)
    np.testing.assert_array_equal(after[far], before[far])
    assert np.abs(after[mask].astype(int) - before[mask]).mean() > 1


def test_hard_edges_bring_the_patch_in_unchanged() -> None:
    after, _ = composite(picture(0), picture(1), box(70, 120), Blend("hard", 1.0, 1.0, 0.0))
    np.testing.assert_array_equal(after[75:115, 75:115], picture(1)[75:115, 75:115])


def test_colour_match_moves_the_mean() -> None:
    patch, target, mask = picture(1) // 3, picture(0), box(40, 150)
    matched = match_colour(patch, target, mask, 1.0)
    gap = abs(matched[mask].mean() - target[mask].mean())
    assert gap < 0.3 * abs(patch[mask].mean() - target[mask].mean())


@settings(max_examples=25, deadline=None)
@given(low=st.integers(8, 90), size=st.integers(12, 80), change=st.integers(8, 60))
def test_the_changed_mask_is_what_changed(low: int, size: int, change: int) -> None:
    before, mask = np.full((SIDE, SIDE, 3), 100, np.uint8), box(low, low + size)
    after = before.copy()
    after[mask] += np.uint8(change)
    found = changed_mask(before, after, np.ones_like(mask))
    assert not found[~box(max(low - 3, 0), low + size + 3)].any()
    assert found[mask].all()


def test_nothing_changed_gives_an_empty_mask() -> None:
    assert not changed_mask(picture(), picture(), box(10, 180)).any()


def test_warps_onto_the_same_landmarks_change_little() -> None:
    image, points = picture(), landmarks()
    inner = (slice(16, -16), slice(16, -16))
    for moved in (
        mesh_warp(image, points, points, (SIDE, SIDE)),
        align_by_points(image, points, points, (SIDE, SIDE)),
    ):
        assert np.abs(moved.astype(int) - image)[inner].mean() < 1.0


def test_alignment_follows_a_shift() -> None:
    image, points = picture(), landmarks()
    moved = align_by_points(image, points, points + np.array([16, 0]), (SIDE, SIDE))
    np.testing.assert_allclose(moved[:, 32:-16].astype(int), image[:, 16:-32], atol=2)


def test_a_bulge_stays_inside_its_radius() -> None:
    offset = bulge((SIDE, SIDE), np.array([96.0, 96.0]), 30, 0.3)
    after = apply_offset(picture(), offset)
    np.testing.assert_array_equal(after[:60], picture()[:60])
    assert (after != picture()).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_degrading_keeps_shape_and_is_repeatable(seed: int) -> None:
    once = degrade(picture(), np.random.default_rng(seed))
    again = degrade(picture(), np.random.default_rng(seed))
    assert once.shape == (SIDE, SIDE, 3)
    assert once.dtype == np.uint8
    np.testing.assert_array_equal(once, again)


def test_jpeg_and_rescale_lose_detail() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert np.abs(jpeg(noisy, 30).astype(int) - noisy).mean() > 5
    assert rescale(noisy, 0.5, 3, 1).std() < noisy.std()


def test_grain_is_as_strong_as_noise_and_shared_by_neighbours() -> None:
    grey = np.full((96, 96, 3), 128, np.uint8)
    both = [add(grey, 4.0, np.random.default_rng(0)) for add in (add_noise, add_grain)]
    fine, coarse = (one.astype(float) - 128 for one in both)
    assert fine.std() == pytest.approx(4, abs=0.2)
    assert coarse.std() == pytest.approx(4, abs=0.4)

    def likeness(noise: np.ndarray) -> float:
        return float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var())

    assert abs(likeness(fine)) < 0.05
    assert likeness(coarse) > 0.3
