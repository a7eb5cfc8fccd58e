"""Drawings change what they should and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ftsdk.errors import ArrayError
from ftsdk.imaging.drawing import ACCENT, colour_heatmap, overlay

HEIGHT, WIDTH = 90, 120


def _picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _disc() -> np.ndarray:
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    return cv2.circle(canvas, (60, 45), 20, 1, -1).astype(bool)


def test_overlay_touches_the_mask_and_its_outline_only() -> None:
    picture, mask = _picture(), _disc()
    before = picture.copy()
    drawn = overlay(picture, mask.astype(np.float32), mask)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(drawn[~near], picture[~near])
    assert (drawn[45, 60] != picture[45, 60]).any()
    assert (drawn == ACCENT).all(axis=2).any()


def test_overlay_tints_more_where_the_model_is_surer() -> None:
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    mask = np.ones((HEIGHT, WIDTH), bool)
    heat = np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, 1))
    red = overlay(grey, heat, mask)[45, 8:-8, 2].astype(int)
    assert (np.diff(red) >= 0).all()
    assert red[-1] > red[0] + 30


def test_overlay_of_an_empty_mask_is_the_picture() -> None:
    picture = _picture()
    empty = np.zeros((HEIGHT, WIDTH), bool)
    np.testing.assert_array_equal(overlay(picture, empty.astype(np.float32), empty), picture)


def test_overlay_accepts_read_only_pictures() -> None:
    picture, mask = _picture(), _disc()
    picture.setflags(write=False)
    assert overlay(picture, mask.astype(np.float32), mask).flags.writeable


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH - 1), (WIDTH, HEIGHT)])
def test_overlay_refuses_maps_of_another_size(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, bool)
    with pytest.raises(ArrayError):
        overlay(_picture(), mask.astype(np.float32), mask)


def test_colour_heatmap_grows_brighter_and_clips() -> None:
    heat = np.linspace(-0.5, 1.5, 201, dtype=np.float32)[None].repeat(3, axis=0)
    coloured = colour_heatmap(heat)
    luma = cv2.cvtColor(coloured, cv2.COLOR_BGR2GRAY)[0].astype(int)
    assert coloured.shape == (3, 201, 3)
    assert coloured.dtype == np.uint8
    assert (np.diff(luma) >= -1).all()
    np.testing.assert_array_equal(coloured[:, :51], coloured[:, :1].repeat(51, axis=1))
    assert luma[0] < 10
    assert luma[-1] > 220
