from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_eval.intervals import mean_interval, pair_interval, share_interval
from ft_eval.metrics import auc, found_at


def test_wilsons_interval_by_hand() -> None:
    # z = 1.95996, n = 10, no hit: 0 to z^2 / (n + z^2).
    interval = share_interval([False] * 10)
    assert interval == pytest.approx((0, 1.95996**2 / (10 + 1.95996**2)), abs=1e-4)
    assert share_interval([]) is None


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_share_lies_in_its_interval(hits: list[bool]) -> None:
    interval = share_interval(hits)
    assert interval is not None
    assert interval[0] - 1e-9 <= np.mean(hits) <= interval[1] + 1e-9


def test_bootstrap_intervals_are_about_two_standard_errors_wide() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    interval = mean_interval(values)
    assert interval is not None
    assert interval[1] - interval[0] == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)
    assert mean_interval(values[:1]) is None


def test_an_auc_has_an_interval_around_it_and_the_same_each_time() -> None:
    rng = np.random.default_rng(2)
    untouched, forged = rng.normal(0, 1, 200), rng.normal(1, 1, 200)
    interval = pair_interval(auc, untouched, forged)
    assert interval is not None
    assert interval[0] < 0.760 < interval[1]  # of two unit normals one apart: Phi(1 / sqrt(2))
    assert interval == pair_interval(auc, untouched, forged)
    assert pair_interval(auc, untouched[:1], forged) is None


def test_found_at_a_true_rate_of_false_alarms() -> None:
    untouched, forged = np.arange(100) / 100, np.array([0.2, 0.945, 0.96, 0.995])
    assert found_at(untouched, forged, 0.05) == 0.5  # 0.95 is exceeded by four of a hundred
    assert found_at(untouched, forged, 0.01) == 0.25
    assert found_at(untouched[:50], forged, 0.01) is None  # too few to tell one in a hundred


@given(st.integers(20, 300), st.integers(0, 1000))
def test_no_more_untouched_pictures_exceed_the_threshold_than_the_rate(n: int, seed: int) -> None:
    untouched = np.random.default_rng(seed).integers(0, 30, n) / 30
    assert (found_at(untouched, untouched, 0.05) or 0) <= 0.05
