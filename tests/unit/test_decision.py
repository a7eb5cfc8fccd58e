"""The one rule book: what a model's tensors decide."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.decision import (
    EMPTY_SHARE,
    manipulation_score,
    mask_iou,
    mask_overlap,
    predicted_mask,
    score_threshold,
    sigmoid,
    suspected_regions,
)
from ftsdk.manifest import Manifest, ScoreEntry

MASKS = st.lists(st.booleans(), min_size=6, max_size=6)
SCORE = ScoreEntry(
    tensor="score_logits",
    temperature=2.0,
    bias=0.5,
    operating_points={"low": 0.3, "high": 0.9},
    default="high",
)


def manifest(**fields: Any) -> Manifest:
    """Stand for a manifest of which only these fields are read."""
    return cast(Manifest, SimpleNamespace(**fields))


def test_sigmoid_is_exact_and_never_overflows() -> None:
    logits = np.array([-1e30, -800, -2, 0, 2, 800, 1e30], np.float32)
    with np.errstate(all="raise"):
        found = sigmoid(logits)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0, 0, 0.11920292, 0.5, 0.880797, 1, 1], rtol=1e-6)


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3), st.floats(0, 1))
def test_a_region_is_suspected_above_the_threshold_and_not_at_it(
    logits: list[float], threshold: float
) -> None:
    entry = manifest(labels=("eye", "nose", "lip"), region_threshold=threshold, score=None)
    tensors = {"region_logits": np.array([logits], np.float32)}
    probabilities = sigmoid(tensors["region_logits"])[0].tolist()
    expected = [n for n, p in zip(entry.labels, probabilities, strict=True) if p > threshold]
    assert suspected_regions(tensors, entry) == expected


def test_a_probability_of_just_the_threshold_suspects_nothing() -> None:
    entry = manifest(labels=("eye",), region_threshold=0.5, score=None)
    assert suspected_regions({"region_logits": np.zeros((1, 1), np.float32)}, entry) == []


@pytest.mark.parametrize(("logit", "expected"), [(2.0, []), (6.0, ["eye"])])
def test_below_the_scores_threshold_no_region_is_suspected(
    logit: float, expected: list[str]
) -> None:
    entry = manifest(labels=("eye",), region_threshold=0.5, score=SCORE)
    tensors = {
        "region_logits": np.full((1, 1), 9.0, np.float32),
        "score_logits": np.full((1, 1), logit, np.float32),
    }
    assert suspected_regions(tensors, entry) == expected


@pytest.mark.parametrize(("logit", "expected"), [(2.0, []), (6.0, ["nose"])])
def test_a_suspected_picture_has_a_suspected_region_however_unsure(
    logit: float, expected: list[str]
) -> None:
    entry = manifest(labels=("eye", "nose", "lip"), region_threshold=0.85, score=SCORE)
    tensors = {
        "region_logits": np.array([[-2.0, 0.5, 0.4]], np.float32),
        "score_logits": np.full((1, 1), logit, np.float32),
    }
    assert suspected_regions(tensors, entry) == expected


def test_the_mask_is_what_exceeds_the_threshold() -> None:
    logits = np.array([[[0.0, 0.1], [-3.0, 5.0]]], np.float32)
    found = predicted_mask({"mask_logits": logits}, manifest(mask_threshold=0.5))
    np.testing.assert_array_equal(found, [[False, True], [False, True]])


def test_the_score_is_calibrated_and_its_threshold_the_default_operating_point() -> None:
    entry = manifest(score=SCORE)
    found = manipulation_score({"score_logits": np.array([[3.0]], np.float32)}, entry)
    assert found == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert score_threshold(entry) == 0.9
    assert manipulation_score({}, manifest(score=None)) is None
    assert score_threshold(manifest(score=None)) is None


@given(one=MASKS, other=MASKS)
def test_iou_is_symmetric_and_one_only_of_equals(one: list[bool], other: list[bool]) -> None:
    a, b = np.array(one), np.array(other)
    assert mask_iou(a, b) == mask_iou(b, a)
    assert (mask_iou(a, b) == 1.0) == (one == other)


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
def test_overlap_is_symmetric_and_full_with_itself(one: int, other: int) -> None:
    a, b = (np.array([[n >> i & 1 for i in range(16)]], bool) for n in (one, other))
    assert mask_overlap(a, a) == 1.0
    assert mask_overlap(a, b) == mask_overlap(b, a)
    assert 0 <= mask_overlap(a, b) <= 1


def test_masks_that_are_both_as_good_as_empty_agree() -> None:
    few, none = np.zeros((100, 100), bool), np.zeros((100, 100), bool)
    few[0, : round(100 * 100 * EMPTY_SHARE) - 1] = True
    assert mask_overlap(few, none) == 1.0
    few[0, :20] = True
    assert mask_overlap(few, none) == 0.0
