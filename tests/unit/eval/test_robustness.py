"""Distortions do what their names say, the same each time, and leave their input alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from picture_files import scene

from ft_eval.robustness import DISTORTIONS, distort

NAMES = pytest.mark.parametrize("name", DISTORTIONS)


@NAMES
def test_same_seed_same_picture_and_the_input_is_left_alone(name: str) -> None:
    picture = scene()
    before = picture.copy()
    picture.setflags(write=False)
    first, again = distort(picture, name, 3), distort(picture, name, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (picture == before).all()
    assert first.shape != picture.shape or (first != picture).any()


@given(st.sampled_from(sorted(DISTORTIONS)), st.integers(16, 70), st.integers(16, 70))
def test_sizes_stay_but_for_the_half_and_the_screenshot(name: str, height: int, width: int) -> None:
    harmed = distort(scene(height, width), name, 0)
    factor = {"screenshot_0.8": 0.8, "half_size_jpeg_80": 0.5}.get(name, 1.0)
    assert harmed.shape[2] == 3
    assert abs(harmed.shape[0] - height * factor) <= 0.5
    assert abs(harmed.shape[1] - width * factor) <= 0.5


def test_resizing_with_nearest_neighbour_makes_no_new_colours() -> None:
    picture = np.arange(64 * 64, dtype=np.uint32).astype(np.uint8).reshape(64, 64)
    picture = np.dstack([picture] * 3)
    harmed = distort(picture, "resize_0.75", 0)
    # 64 columns come back from 48, so 16 of them are lost.
    assert len(np.unique(harmed[0], axis=0)) == 48


def test_blur_is_a_normalised_5x5_kernel() -> None:
    picture = np.zeros((17, 17, 3), np.uint8)
    picture[8, 8] = 255
    harmed = distort(picture, "blur_5x5", 0)[:, :, 0]
    ys, xs = np.nonzero(harmed)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (6, 10, 6, 10)
    assert abs(int(harmed.sum()) - 255) <= 25 / 2


def test_both_is_resizing_then_blur() -> None:
    picture = scene()
    both = distort(distort(picture, "resize_0.75", 0), "blur_5x5", 0)
    assert (distort(picture, "resize_0.75_blur_5x5", 0) == both).all()


def test_noise_has_five_grey_levels_and_depends_on_the_seed() -> None:
    picture = np.full((200, 200, 3), 128, np.uint8)
    one, other = distort(picture, "noise_5", 1), distort(picture, "noise_5", 2)
    assert np.std(one.astype(float)) == pytest.approx(5, abs=0.1)
    assert (one != other).any()


def test_lower_jpeg_quality_loses_more() -> None:
    picture = scene()
    losses = [cv2.norm(picture, distort(picture, f"jpeg_{q}", 0)) for q in (90, 70, 50)]
    assert losses == sorted(losses)
    assert losses[0] > 0


def test_grey_leaves_the_lightness_and_no_colour() -> None:
    picture = scene()
    harmed = distort(picture, "grey", 0)
    assert (harmed == harmed[..., :1]).all()
    assert (harmed[..., 0] == cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)).all()


def test_contrast_grows_where_there_was_little_and_colours_stay() -> None:
    grain = 128 + 2 * np.random.default_rng(0).standard_normal((128, 128, 1))
    picture = np.repeat(np.round(grain), 3, axis=2).astype(np.uint8)
    harmed = distort(picture, "contrast", 0)
    assert harmed.std() > 1.5 * picture.std()
    assert np.ptp(harmed.astype(int), axis=2).max() <= 2


@pytest.mark.parametrize(("name", "left"), [("denoised", 0.6), ("total_variation", 0.75)])
def test_denoising_takes_noise_away_and_leaves_edges(name: str, left: float) -> None:
    plain = np.full((96, 96, 3), 90, np.uint8)
    plain[:, 48:] = 160
    noisy = distort(plain, "noise_5", 0)
    harmed = distort(noisy, name, 0)
    away = np.abs(harmed.astype(int) - plain).mean(), np.abs(noisy.astype(int) - plain).mean()
    assert away[0] < left * away[1]
    assert int(harmed[:, 52:].min()) - int(harmed[:, :44].max()) > 40


def _middle(light: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return where the light of one channel [H, W] lies in the mean, (y, x)."""
    at = np.argwhere(light)
    return np.average(at, axis=0, weights=light[tuple(at.T)].astype(float))


def test_motion_blurs_along_its_direction_and_keeps_the_light() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[196:205, 196:205] = 200
    harmed = distort(picture, "motion_blur", 0)[..., 0]
    assert harmed.sum() == pytest.approx(picture[..., 0].sum(), rel=0.01)
    assert _middle(harmed) == pytest.approx([200, 200], abs=0.1)
    at = np.argwhere(harmed) - 200
    (y, _), (both, x) = np.cov(at.T, aweights=harmed[tuple(np.argwhere(harmed).T)])
    assert x > y
    assert both > 0


def test_a_lens_shifts_blue_and_red_apart_at_the_border_and_not_in_the_middle() -> None:
    for place, shift in (((300, 300), 0.0), ((300, 550), 0.002 * 250)):
        picture = np.zeros((600, 600, 3), np.uint8)
        cv2.circle(picture, place[::-1], 5, (200, 200, 200), -1)
        harmed = distort(picture, "chromatic_aberration", 0)
        for channel, away in ((0, shift), (1, 0.0), (2, -shift)):
            y, x = _middle(harmed[..., channel])
            assert (y, x) == pytest.approx((place[0], place[1] + away), abs=0.1)
