"""How far a lowered language model's text is from float32's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ft_export.errors import GateError
from ft_export.gates.text import (
    MAX_MEAN_KL,
    Written,
    kl_divergence,
    measure,
    require_close_text,
)

logits = arrays(np.float32, (4, 9), elements=st.floats(-20, 20, width=32))


@given(logits, logits)
def test_kl_is_that_of_its_definition(expected: np.ndarray, found: np.ndarray) -> None:
    p, q = (np.exp(x.astype(np.float64)) for x in (expected, found))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    np.testing.assert_allclose(
        kl_divergence(expected, found), (p * np.log(p / q)).sum(1), rtol=1e-6, atol=1e-9
    )


def written(seed: int, noise: float, text: str) -> Written:
    values = np.random.default_rng(seed).normal(0, 3, (5, 20))
    other = np.random.default_rng(seed + 1).normal(0, noise, values.shape) if noise else 0
    return Written((values + other).astype(np.float32), text)


TEXTS = ("the nose looks blurred", "an edge runs along the lips and the chin")


def test_the_same_model_has_no_divergence_and_full_scores() -> None:
    reference = [written(seed, 0, text) for seed, text in enumerate(TEXTS)]
    entry = measure(reference, reference)
    assert entry.mean_kl == pytest.approx(0, abs=1e-9)
    assert (entry.reports, entry.tokens, entry.top1_agreement) == (2, 10, 1.0)
    assert entry.rouge_l == pytest.approx(1.0)
    assert entry.cider == pytest.approx(10.0)
    require_close_text(entry)


def test_another_model_fails_unless_that_is_waived() -> None:
    reference = [written(seed, 0, text) for seed, text in enumerate(TEXTS)]
    found = [written(seed, 2, "all other words") for seed in range(2)]
    entry = measure(reference, found)
    assert entry.mean_kl > MAX_MEAN_KL
    assert entry.p99_kl >= entry.mean_kl
    assert entry.rouge_l == 0
    with pytest.raises(GateError) as caught:
        require_close_text(entry)
    assert "--waive-text-gate" in caught.value.cure
    require_close_text(measure(reference, found, waived=True))


def test_one_text_has_no_scores() -> None:
    entry = measure([written(0, 0, "a")], [written(0, 0, "a")])
    assert (entry.cider, entry.bleu_4, entry.rouge_l) == (None, None, None)
