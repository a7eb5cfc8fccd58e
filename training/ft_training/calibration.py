"""Turns score logits into a likelihood and picks operating points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Scores = NDArray[np.floating]


def fit_temperature(untouched: Scores, forged: Scores) -> tuple[float, float]:
    """Return `temperature` and `bias` so that sigmoid(logit / temperature + bias) is calibrated.

    Platt's fit by maximum likelihood, both classes weighing the same: the share of forged
    pictures among a user's is unknown.
    """
    logits = torch.tensor(np.concatenate([untouched, forged]), dtype=torch.float64)
    truth = torch.cat([torch.zeros(len(untouched)), torch.ones(len(forged))]).double()
    weight = torch.where(truth > 0, 0.5 / len(forged), 0.5 / len(untouched))
    slope = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(
            logits * slope + bias, truth, weight, reduction="sum"
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    return 1 / max(float(slope.detach()), 1e-3), float(bias.detach())


def likelihood(logits: Scores, score: dict[str, Any]) -> Scores:
    """Return sigmoid(logit / temperature + bias) for a calibration's `score` entry."""
    result: Scores = 1 / (1 + np.exp(-(logits / score["temperature"] + score["bias"])))
    return result


def logit_of(likelihood: float, score: dict[str, Any]) -> float:
    """Return the score logit whose :func:`likelihood` this is, for a `score` entry."""
    log_odds = np.log(likelihood / (1 - likelihood))
    return float((log_odds - score["bias"]) * score["temperature"])


#: Shares of untouched pictures that may exceed the default threshold: of all, of any treatment, and
#: of any source. Below what is promised (5 and 12 %), since the next people are others.
SHARE, TREATMENT_SHARE, SOURCE_SHARE = 0.01, 0.035, 0.08
#: The shares at which the upper tail of untouched scores is kept.
_TAIL = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005)
#: Of the untouched pictures below the threshold, those just below it are told nothing: this share.
_UNSURE = 0.02


def threshold_of(groups: Iterable[tuple[Scores, float]]) -> float:
    """Return the lowest score that no group of scores exceeds more often than its share."""
    return max(float(np.quantile(scores, 1 - share, method="higher")) for scores, share in groups)


def calibrate(
    untouched: Mapping[str, Scores], sources: Mapping[str, Scores], forged: Scores
) -> dict[str, Any]:
    """Return the `score` entry that fits score logits of untouched and forged pictures.

    `untouched` holds the untouched ones by treatment, `sources` those of each source that has
    enough people to tell. The default threshold is that of the worst of them.
    """
    every = np.concatenate(list(untouched.values()))
    temperature, bias = fit_temperature(every, forged)
    score: dict[str, Any] = {"tensor": "score_logits", "temperature": temperature, "bias": bias}
    quiet = likelihood(every, score)
    groups = [(quiet, SHARE)]
    groups += [(likelihood(one, score), TREATMENT_SHARE) for one in untouched.values()]
    groups += [(likelihood(one, score), SOURCE_SHARE) for one in sources.values()]
    worst = threshold_of(groups)
    score["operating_points"] = {
        "fpr_0.01": threshold_of([(quiet, 0.01)]),
        "fpr_0.05": threshold_of([(quiet, 0.05)]),
        "worst_source": worst,
        "default": worst,
    }
    tail = {round(threshold_of([(quiet, share)]), 4): share for share in _TAIL}
    score["untouched_tail"] = sorted(tail.items())
    return score


def unsure_scores(untouched: Scores, score: dict[str, Any]) -> tuple[float, float]:
    """Return the band below the default threshold in which the score says nothing.

    Untouched pictures are there almost as often as above it, and forged ones too.
    """
    threshold = score["operating_points"]["default"]
    quiet = likelihood(untouched, score)
    exceeding = float((quiet > threshold).mean())
    low = float(np.quantile(quiet, max(1 - exceeding - _UNSURE, 0), method="higher"))
    return round(min(low, threshold), 4), threshold


def best_region_threshold(logits: Scores, truth: NDArray[np.uint8]) -> float:
    """Return the probability from which a region is named; both `[N, 21]`.

    The highest whose F1 is within a hundredth of the best: the curve is flat there, and each step
    spares untouched pictures a false name.
    """
    probability = torch.from_numpy(logits).sigmoid().numpy()
    grid = np.arange(0.3, 0.86, 0.05)
    scores = []
    for cut in grid:
        named = probability > cut
        scores.append(2 * float((named & (truth > 0)).sum()) / float(named.sum() + truth.sum()))
    return round(float(grid[np.array(scores) >= 0.99 * max(scores)].max()), 2)
