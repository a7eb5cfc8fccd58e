"""95 % confidence intervals: how far a figure could be off by the choice of pictures alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from ft_eval.metrics import Values

#: Low and high end.
Interval = tuple[float, float]

CONFIDENCE = 0.95
RESAMPLES = 1000
_ENDS = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)


def share_interval(hits: Sequence[bool]) -> Interval | None:
    """Return Wilson's interval of a share; None without pictures."""
    if not hits:
        return None
    interval = stats.binomtest(sum(hits), len(hits)).proportion_ci(CONFIDENCE, "wilson")
    return float(interval.low), float(interval.high)


def mean_interval(values: Values) -> Interval | None:
    """Return the bootstrap percentiles of the mean of `values` [N]; None for fewer than two."""
    if len(values) < 2:
        return None
    rows = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(np.asarray(values)[rows].mean(1), _ENDS)
    return float(low), float(high)


def pair_interval(
    figure: Callable[[Values, Values], float | None], untouched: Values, forged: Values
) -> Interval | None:
    """Return the bootstrap percentiles of a figure of two samples, each resampled by itself.

    None where the figure is, or for fewer than two pictures of either kind.
    """
    if min(len(untouched), len(forged)) < 2 or figure(untouched, forged) is None:
        return None
    rng = np.random.default_rng(0)
    drawn = [
        figure(rng.choice(untouched, len(untouched)), rng.choice(forged, len(forged)))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(np.array(drawn, float), _ENDS)
    return float(low), float(high)
