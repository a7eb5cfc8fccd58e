"""Masks are resized as OpenCV's bilinear does, and cutting never disagrees with the heat map."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ftsdk.errors import ArrayError
from ftsdk.imaging.mask import cut, heatmap

sides = st.integers(1, 400)


def _map(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((rows, columns), dtype=np.float32)


@settings(max_examples=80, deadline=None)
@given(rows=st.integers(1, 60), columns=st.integers(1, 60), height=sides, width=sides)
@example(rows=224, columns=224, height=3000, width=17)
@example(rows=224, columns=224, height=100, width=80)
@example(rows=1, columns=1, height=9, width=9)
def test_equals_opencv(rows: int, columns: int, height: int, width: int) -> None:
    probabilities = _map(rows, columns)
    expected = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(heatmap(probabilities, height, width), expected, atol=1e-5)


@settings(max_examples=80, deadline=None)
@given(height=sides, width=sides, threshold=st.floats(0, 1, width=32), seed=st.integers(0, 9))
def test_cut_equals_the_heat_map_above_the_threshold(
    height: int, width: int, threshold: float, seed: int
) -> None:
    probabilities = _map(24, 24, seed)
    mask = cut(probabilities, height, width, threshold)
    assert mask.dtype == np.bool_
    expected = heatmap(probabilities, height, width) > np.float32(threshold)
    np.testing.assert_array_equal(mask, expected)


def test_own_size_changes_nothing() -> None:
    probabilities = _map(50, 40)
    np.testing.assert_array_equal(heatmap(probabilities, 50, 40), probabilities)


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides)
def test_stays_within_the_range_of_the_map(height: int, width: int) -> None:
    probabilities = _map(10, 10)
    resized = heatmap(probabilities, height, width)
    assert probabilities.min() <= resized.min()
    assert resized.max() <= probabilities.max()


def test_reads_any_layout() -> None:
    probabilities = _map(30, 40)
    view = np.asfortranarray(probabilities)[::-1].astype(np.float64)
    np.testing.assert_array_equal(
        heatmap(view, 60, 60), heatmap(probabilities[::-1].copy(), 60, 60)
    )


@pytest.mark.parametrize(
    ("shape", "height", "width"),
    [((1, 8, 8), 9, 9), ((8,), 9, 9), ((0, 8), 9, 9), ((8, 8), 0, 9), ((8, 8), 9, -1)],
)
def test_refuses_impossible_shapes(shape: tuple[int, ...], height: int, width: int) -> None:
    probabilities = np.zeros(shape, np.float32)
    with pytest.raises(ArrayError):
        heatmap(probabilities, height, width)
    with pytest.raises(ArrayError):
        cut(probabilities, height, width)
