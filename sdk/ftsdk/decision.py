"""What a model's tensors decide: which regions, which pixels, how likely, and when masks agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ftsdk.engines.contract import Tensor, Tensors
from ftsdk.manifest import Manifest

#: A mask of a smaller share of the picture is empty: it is no sign of anything.
EMPTY_SHARE = 0.001


def sigmoid(logits: Tensor) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)) of logits [...] as float32 [...]."""
    with np.errstate(over="ignore", under="ignore"):  # both ends are as they should be
        values: NDArray[np.float32] = np.reciprocal(1 + np.exp(-np.asarray(logits, np.float32)))
    return values


def region_probabilities(tensors: Tensors, manifest: Manifest) -> dict[str, float]:
    """Return every label's probability, 0 to 1, in label order.

    `tensors` holds `region_logits` [1, labels].
    """
    values = sigmoid(tensors["region_logits"])[0].tolist()
    return dict(zip(manifest.labels, values, strict=True))


def suspected_regions(tensors: Tensors, manifest: Manifest) -> list[str]:
    """Return the labels whose probability exceeds the bundle's threshold, in label order.

    Where the model has a score it decides: below its threshold no region is suspected, since the
    whole is not; from there on at least the most probable one is, since some part must be.
    `tensors` holds `region_logits` [1, labels].
    """
    score, threshold = manipulation_score(tensors, manifest), score_threshold(manifest)
    probabilities = region_probabilities(tensors, manifest)
    named = [name for name, p in probabilities.items() if p > manifest.region_threshold]
    if score is None or threshold is None:
        return named
    if score < threshold:
        return []
    return named or [max(probabilities, key=lambda name: probabilities[name])]


def mask_probabilities(tensors: Tensors) -> NDArray[np.float32]:
    """Return `mask_logits` [1, M, M] as probabilities, [M, M] float32 from 0 to 1."""
    probabilities: NDArray[np.float32] = sigmoid(tensors["mask_logits"])[0]
    return probabilities


def cut_mask(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Return where probabilities [...] float32 exceed the threshold: [...] bool."""
    return np.asarray(probabilities > threshold)


def predicted_mask(tensors: Tensors, manifest: Manifest) -> NDArray[np.bool_]:
    """Return the mask that `mask_logits` [1, M, M] mean: [M, M] bool."""
    return cut_mask(mask_probabilities(tensors), manifest.mask_threshold)


def manipulation_score(tensors: Tensors, manifest: Manifest) -> float | None:
    """Return the calibrated likelihood of manipulation, 0 to 1; None where the model has none.

    sigmoid(logit / temperature + bias), Platt's scaling with the manifest's numbers; the logit is
    the first number of the tensor that the manifest names, `score_logits` [1, 1] in nano.
    """
    entry = manifest.score
    if entry is None:
        return None
    logit = float(np.asarray(tensors[entry.tensor]).reshape(-1)[0])
    return float(sigmoid(np.array([logit / entry.temperature + entry.bias]))[0])


def score_threshold(manifest: Manifest, faces: int = 1) -> float | None:
    """Return the score from which a picture is suspicious; None where the model has no score.

    More `faces` raise it where the bundle knows by how much: they are no more chances for a false
    alarm.
    """
    entry = manifest.score
    if entry is None:
        return None
    threshold = entry.operating_points[entry.default]
    tail = entry.untouched_tail
    return threshold_for(faces, threshold, tail) if tail and faces > 1 else threshold


def share_of_untouched(score: float, tail: Sequence[tuple[float, float]]) -> float:
    """Return which share of untouched faces scores at least `score`, as measured.

    `tail` is `untouched_tail` of the manifest. Between its points logarithms of shares are
    interpolated; beyond them the nearest point's share holds.
    """
    scores, shares = np.array(tail, np.float64).T
    return float(np.exp(np.interp(score, scores, np.log(shares))))


def threshold_for(faces: int, threshold: float, tail: Sequence[tuple[float, float]]) -> float:
    """Return the score from which a picture of `faces` faces is suspicious.

    With one face a picture is called suspicious in vain as often as `threshold` does; with more,
    each would add its chance. Šidák's correction keeps the picture's rate: 1 - (1 - a)^(1 / n) a
    face (Z. Šidák, JASA 62, 1967). A rate that is rarer than what was measured gets the highest
    score that was.
    """
    scores, shares = np.array(tail, np.float64).T
    alone = share_of_untouched(threshold, tail)
    each = -np.expm1(np.log1p(-alone) / faces)
    # np.interp wants rising places; shares fall as scores rise.
    found = float(np.interp(np.log(each), np.log(shares[::-1]), scores[::-1]))
    return max(found, threshold)


def mask_iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return intersection over union of two masks [H, W] bool; 1 where both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def mask_overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return how well two answers' masks [H, W] bool agree: their IoU.

    Masks that are both as good as empty agree fully: neither is a sign of anything.
    """
    return 1.0 if (one | other).mean() < EMPTY_SHARE else mask_iou(one, other)
