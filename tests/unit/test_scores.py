"""Penalties, log-probabilities and the nucleus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftsdk import Language
from ftsdk.language.scores import log_softmax, penalise, sample

finite = st.floats(-30, 30, width=32)
logits = arrays(np.float32, st.integers(2, 40), elements=finite)
top_ps = st.floats(0.01, 1.0)


def test_the_penalty_divides_what_is_positive_and_multiplies_what_is_negative() -> None:
    scores = np.array([[3.0, -3.0, 1.0, -1.0]], np.float32)
    penalise(scores, np.array([[0, 1]]), Language(repetition_penalty=1.5, min_length=0), 3)
    np.testing.assert_array_equal(scores, np.array([[2.0, -4.5, 1.0, -1.0]], np.float32))


def test_a_token_that_was_used_twice_is_penalised_once() -> None:
    scores = np.array([[-2.0, 4.0]], np.float32)
    penalise(scores, np.array([[1, 1, 1]]), Language(repetition_penalty=2.0, min_length=0), 0)
    np.testing.assert_array_equal(scores, np.array([[-2.0, 2.0]], np.float32))


def test_the_minimum_length_counts_the_start_token_and_comes_after_the_penalty() -> None:
    options = Language(repetition_penalty=2.0, min_length=3)
    for history, blocked in (([[0]], True), ([[0, 1]], True), ([[0, 1, 2]], False)):
        scores = np.array([[1.0, 8.0, 1.0]], np.float32)
        penalise(scores, np.array(history), options, end_token=1)
        assert np.isneginf(scores[0, 1]) == blocked


def test_each_beam_has_its_own_history() -> None:
    scores = np.full((2, 3), 6.0, np.float32)
    penalise(scores, np.array([[0], [2]]), Language(repetition_penalty=3.0, min_length=0), 1)
    np.testing.assert_array_equal(scores, np.array([[2, 6, 6], [6, 6, 2]], np.float32))


@given(arrays(np.float32, (3, 17), elements=finite))
def test_log_softmax(values: np.ndarray) -> None:
    exact = values.astype(np.float64)
    exact -= np.log(np.exp(exact - exact.max(1, keepdims=True)).sum(1, keepdims=True))
    exact -= values.max(1, keepdims=True)
    log_softmax(values, np.empty_like(values))
    np.testing.assert_allclose(values, exact, rtol=1e-5, atol=2e-5)


def test_log_softmax_of_large_logits_does_not_overflow() -> None:
    found = np.array([[1e4, 0.0, -np.inf]], np.float32)
    log_softmax(found, np.empty_like(found))
    np.testing.assert_array_equal(found, np.array([[0, -1e4, -np.inf]], np.float32))


@given(logits, top_ps, st.floats(0.1, 5), st.integers(0, 2**32))
def test_a_sample_lies_in_the_nucleus(
    values: np.ndarray, top_p: float, temperature: float, seed: int
) -> None:
    token = sample(values, temperature, top_p, np.random.default_rng(seed))
    scaled = values.astype(np.float64) / temperature
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    # In the smallest set that reaches top_p, less than top_p lies above any member.
    assert probabilities[probabilities > probabilities[token]].sum() < top_p + 1e-9
    assert probabilities[token] > 0


@given(logits, st.integers(0, 2**32))
def test_a_tiny_nucleus_is_the_most_likely_token(values: np.ndarray, seed: int) -> None:
    token = sample(values, 1.0, 1e-9, np.random.default_rng(seed))
    assert values[token] == pytest.approx(values.max(), abs=1e-6)


@given(logits, top_ps, st.integers(0, 2**32))
def test_the_same_seed_draws_the_same_token(values: np.ndarray, top_p: float, seed: int) -> None:
    first, second = (sample(values, 0.7, top_p, np.random.default_rng(seed)) for _ in range(2))
    assert first == second


def test_a_forbidden_token_is_never_drawn() -> None:
    values = np.array([0.0, -np.inf, 0.0], np.float32)
    random = np.random.default_rng(3)
    assert {sample(values, 1.0, 1.0, random) for _ in range(200)} == {0, 2}


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.7311), (0.5, 0.8808), (4.0, 0.5622)])
def test_samples_follow_the_temperature(temperature: float, expected: float) -> None:
    random = np.random.default_rng(11)
    values = np.array([1.0, 0.0], np.float32)
    drawn = [sample(values, temperature, 1.0, random) for _ in range(4000)]
    assert 1 - np.mean(drawn) == pytest.approx(expected, abs=0.03)
