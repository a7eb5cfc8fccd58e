"""Metrics against values computed by hand, and what must hold for any masks and scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ft_eval.metrics import (
    Mask,
    MaskScores,
    auc,
    calibration_error,
    f1_of_counts,
    mask_scores,
    predicted_mask,
)

MASKS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape))
)
SCORES = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=12).map(np.array)


def _mask(*rows: str) -> Mask:
    return np.array([[letter == "x" for letter in row] for row in rows])


def test_mask_scores_by_hand() -> None:
    predicted, truth = _mask("xx..", "xx.."), _mask(".xxx", ".xxx")
    # 2 pixels in both, 4 found, 6 true, 8 in either.
    assert mask_scores(predicted, truth) == MaskScores(2 / 8, 2 / 4, 2 / 6, 4 / 10)


def test_empty_masks() -> None:
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert mask_scores(empty, empty) == MaskScores(1, 1, 1, 1)
    assert mask_scores(empty, full) == MaskScores(0, 0, 0, 0)
    assert mask_scores(full, empty) == MaskScores(0, 0, 0, 0)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="compared"):
        mask_scores(np.zeros((2, 2), bool), np.zeros((2, 3), bool))


@given(MASKS)
def test_mask_scores_bound_each_other(masks: tuple[Mask, Mask]) -> None:
    predicted, truth = masks
    scores, swapped = mask_scores(predicted, truth), mask_scores(truth, predicted)
    assert 0 <= scores.iou <= min(scores.precision, scores.recall)
    assert scores.f1 == pytest.approx(2 * scores.iou / (1 + scores.iou))
    assert (swapped.iou, swapped.precision, swapped.recall) == (
        scores.iou,
        scores.recall,
        scores.precision,
    )


@given(MASKS)
def test_identical_masks_agree_fully(masks: tuple[Mask, Mask]) -> None:
    assert mask_scores(masks[0], masks[0]) == MaskScores(1, 1, 1, 1)


def test_prediction_is_cut_above_a_half_and_resized_by_nearest_neighbour() -> None:
    probabilities = np.array([[0.5, 0.51], [0.9, 0.1]], np.float32)
    assert (predicted_mask(probabilities, 2, 2) == _mask(".x", "x.")).all()
    assert (predicted_mask(probabilities, 2, 5) == _mask("...xx", "xxx..")).all()
    assert (predicted_mask(probabilities, 1, 1) == _mask(".")).all()


def test_auc_by_hand() -> None:
    # Pairs (untouched, forged): 0.1 loses to both, 0.5 ties with one and beats none.
    assert auc(np.array([0.1, 0.5]), np.array([0.5, 0.9])) == 3.5 / 4
    assert auc(np.array([0.1]), np.array([])) is None


@given(SCORES, SCORES)
def test_auc_counts_pairs_and_is_antisymmetric(untouched: np.ndarray, forged: np.ndarray) -> None:
    pairs = [1.0 if high > low else 0.5 if high == low else 0.0
             for high in forged for low in untouched]  # fmt: skip
    assert auc(untouched, forged) == pytest.approx(np.mean(pairs))
    assert auc(untouched, forged) == pytest.approx(1 - (auc(forged, untouched) or 0))


def test_calibration_error_by_hand() -> None:
    # Two bins: untouched 0.2 and 0.6, forged 0.8; the forged one weighs a half, the others a
    # quarter. Bin [0, 0.5): 1/4 * 0.2. Bin [0.5, 1]: |1/2 * 0.2 - 1/4 * 0.6| = 0.05.
    error = calibration_error(np.array([0.2, 0.6]), np.array([0.8]), bins=2)
    assert error == pytest.approx(0.05 + 0.05)
    assert calibration_error(np.array([]), np.array([0.8])) is None


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    zeros, ones = np.zeros(3), np.ones(5)
    assert calibration_error(zeros, ones) == 0
    assert calibration_error(ones, zeros) == pytest.approx(1)


@given(SCORES, SCORES)
def test_calibration_error_ignores_the_odds(untouched: np.ndarray, forged: np.ndarray) -> None:
    error = calibration_error(untouched, forged)
    assert error is not None
    assert 0 <= error <= 1 + 1e-9
    assert calibration_error(np.tile(untouched, 3), forged) == pytest.approx(error)


def test_f1_of_pooled_counts() -> None:
    assert f1_of_counts(3, 4, 5) == 6 / 9
    assert f1_of_counts(0, 0, 2) == 0
    assert f1_of_counts(0, 0, 0) is None
