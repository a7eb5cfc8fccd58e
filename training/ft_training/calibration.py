"""Turns score logits into a likelihood and picks operating points."""

from __future__ import annotations

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


def calibrate(untouched: Scores, forged: Scores) -> dict[str, Any]:
    """Return the `score` entry that fits score logits of untouched and forged pictures."""
    temperature, bias = fit_temperature(untouched, forged)
    score: dict[str, Any] = {"tensor": "score_logits", "temperature": temperature, "bias": bias}
    quiet = likelihood(untouched, score)
    at_5 = float(np.quantile(quiet, 0.95, method="higher"))
    points = {"fpr_0.01": float(np.quantile(quiet, 0.99, method="higher")), "fpr_0.05": at_5}
    score["operating_points"] = {**points, "default": at_5}
    return score


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
