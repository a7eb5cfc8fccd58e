"""How well masks, scores and regions agree with the truth: pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftsdk.decision import mask_iou

Mask = NDArray[np.bool_]
Values = NDArray[np.floating]

#: Probabilities above this are the mask, as the authors score it.
MASK_CUT = 0.5
#: Equal-width bins of the calibration error.
BINS = 10


@dataclass(frozen=True)
class MaskScores:
    """How well one mask agrees with the truth; each 0 to 1."""

    iou: float
    precision: float
    recall: float
    f1: float


def predicted_mask(probabilities: Values, height: int, width: int) -> Mask:
    """Return the mask that is scored: cut at 0.5 and resized to the truth's size.

    Nearest neighbour, pixel (y, x) taking (y * M // height, x * M // width), as the authors'
    protocol has it; a user's mask is resized bilinearly and has smoother edges.

    Args:
        probabilities: `[M, M] float32`, or any other two sides.

    Returns:
        `[height, width] bool`.
    """
    rows = np.arange(height) * probabilities.shape[0] // height
    columns = np.arange(width) * probabilities.shape[1] // width
    mask: Mask = (probabilities > MASK_CUT)[np.ix_(rows, columns)]
    return mask


def mask_scores(predicted: Mask, truth: Mask) -> MaskScores:
    """Compare two masks [H, W] bool; both empty agree fully, an empty prediction has precision 0.

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"a mask of {predicted.shape} cannot be compared with {truth.shape}")
    hits = int(np.count_nonzero(predicted & truth))
    found, true = int(np.count_nonzero(predicted)), int(np.count_nonzero(truth))
    if found + true == 0:
        return MaskScores(1.0, 1.0, 1.0, 1.0)
    return MaskScores(
        iou=mask_iou(predicted, truth),
        precision=hits / max(found, 1),
        recall=hits / max(true, 1),
        f1=2 * hits / (found + true),
    )


def auc(untouched: Values, forged: Values) -> float | None:
    """Return the area under the ROC curve of scores [N] and [M]: how often a forged one is higher.

    Ties count half (Mann and Whitney's U, divided by the number of pairs). None without pairs.
    """
    if len(untouched) == 0 or len(forged) == 0:
        return None
    order = np.sort(untouched)
    below = np.searchsorted(order, forged, "left") + np.searchsorted(order, forged, "right")
    return float(below.mean() / (2 * len(order)))


def found_at(untouched: Values, forged: Values, rate: float) -> float | None:
    """Return the share of forged scores [M] above all but `rate` of the untouched [N].

    None without pairs, or where fewer than 1 / `rate` untouched pictures could tell that rate.
    """
    if len(forged) == 0 or len(untouched) * rate < 1:
        return None
    threshold = np.quantile(untouched, 1 - rate, method="higher")
    return float((forged > threshold).mean())


def share_at_least(values: Values, threshold: float) -> float | None:
    """Return the share of `values` [N] that reach `threshold`; None without values."""
    return float((values >= threshold).mean()) if len(values) else None


def calibration_error(untouched: Values, forged: Values, bins: int = BINS) -> float | None:
    """Return the expected calibration error of likelihoods [N] and [M], both classes weighing half.

    Sum over equal-width bins of weight x |share forged - mean likelihood| (Naeini et al., 2015).
    The classes weigh the same because a likelihood is calibrated for even odds: a data set's own
    share of forgeries says nothing about a user's pictures. None where a class is missing.
    """
    if len(untouched) == 0 or len(forged) == 0:
        return None
    likelihood = np.concatenate([untouched, forged])
    truth = np.repeat([0.0, 1.0], [len(untouched), len(forged)])
    weight = np.where(truth > 0, 0.5 / len(forged), 0.5 / len(untouched))
    index = np.minimum((likelihood * bins).astype(int), bins - 1)
    gaps = np.bincount(index, weight * (truth - likelihood), minlength=bins)
    return float(np.abs(gaps).sum())


def f1_of_counts(hits: int, found: int, true: int) -> float | None:
    """Return 2 hits / (found + true), the F1 of pooled counts; None where there is nothing."""
    return 2 * hits / (found + true) if found + true else None
