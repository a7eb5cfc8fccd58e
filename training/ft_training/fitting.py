"""Fits what a calibration holds, on people that training never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ft_forge import UNTOUCHED
from ft_forge.degrade import degrade
from ftsdk.decision import EMPTY_SHARE, mask_iou

from .batches import UNTOUCHED_SHARE
from .calibration import best_region_threshold, calibrate, logit_of
from .model import Nano, Seen, normalised
from .store import Sample, Store

#: Seeds of the histories that calibration pictures get; untouched ones are seen under each.
_HISTORIES = (5, 6, 7)
#: Px across of the smallest frame of which an answer is given.
_SMALLEST_FACE = 64
#: How far mask logits may fall.
_QUIET = np.arange(0.0, 8.1, 0.5)


def validation_samples(run: Path, seed: int = _HISTORIES[0]) -> list[Sample]:
    """Return the validation store's pictures, each with a fixed history of compression."""
    store = Store(run / "validation")
    samples = []
    for index in range(len(store)):
        one = store[index]
        image = degrade(one.image, np.random.default_rng([seed, index]))
        samples.append(Sample(image, one.mask, one.maps, one.multilabel, one.meta))
    return samples


def _fits_calibration(identity: str) -> bool:
    """Tell whether a validation identity fits the calibration; the others are kept from it."""
    return int(identity) % 2 == 0


def _iou_and_area(logits: NDArray[Any], mask: NDArray[np.uint8]) -> tuple[float, float]:
    """Return IoU and predicted share; logits are resized to the truth's size and cut at 0."""
    size = mask.shape[1::-1]
    found = cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR) > 0
    return mask_iou(np.asarray(found), mask > 0), float(found.mean())


def _fitted_samples(run: Path) -> list[Sample]:
    """Return the samples of the people whom the calibration is fitted on."""
    return [
        sample
        for seed in _HISTORIES
        for sample in validation_samples(run, seed)
        if _fits_calibration(sample.meta["identity"])
        and (seed == _HISTORIES[0] or sample.meta["family"] == UNTOUCHED)
    ]


def _gains(logits: NDArray[Any], sample: Sample) -> list[float]:
    """Return IoU, or 1 for an untouched picture's empty mask, after a fall by each of `_QUIET`."""
    after = [_iou_and_area(logits - fall, sample.mask) for fall in _QUIET]
    if sample.meta["family"] == UNTOUCHED:
        return [float(area < EMPTY_SHARE) for _, area in after]
    return [iou for iou, _ in after]


@torch.no_grad()
def _best_quiet(model: Nano, seen: list[Seen], samples: list[Sample], threshold: float) -> float:
    """Return how far the mask logits of doubtful pictures should fall, given `certain`.

    Forged and untouched pictures weigh together what they do in training's batches.
    """
    gains = []
    for one, sample in zip(seen, samples, strict=True):
        labels = (one.region_logits.sigmoid() > threshold).float()
        doubt = float(model.mask_decoder.doubt(labels, one.score_logits))
        gain = _gains(model.mask(one, labels)[0].numpy(), sample)
        gains.append(np.interp(doubt * _QUIET, _QUIET, gain))
    untouched = np.array([sample.meta["family"] == UNTOUCHED for sample in samples])
    means = [np.mean(np.array(gains)[rows], axis=0) for rows in (untouched, ~untouched)]
    both = np.average(means, axis=0, weights=[UNTOUCHED_SHARE, 1 - UNTOUCHED_SHARE])
    return float(_QUIET[int(both.argmax())])


@torch.no_grad()
def fit_calibration(model: Nano, run: Path) -> dict[str, Any]:
    """Set the mask decoder's `quiet` and `certain` and return what `calibration.json` holds.

    Fitted on one half of the validation identities.
    """
    samples = _fitted_samples(run)
    seen = [model.see(normalised(torch.from_numpy(sample.image[None]))) for sample in samples]
    scores = np.array([float(one.score_logits) for one in seen])
    untouched = np.array([sample.meta["family"] == UNTOUCHED for sample in samples])
    regions = np.concatenate([one.region_logits.numpy() for one in seen])
    truth = np.array([sample.multilabel for sample in samples])
    threshold = best_region_threshold(regions, truth)
    score = calibrate(scores[untouched], scores[~untouched])
    decoder = model.mask_decoder
    decoder.certain.fill_(logit_of(score["operating_points"]["default"], score))
    decoder.quiet.fill_(_best_quiet(model, seen, samples, threshold))
    return {
        "score": score,
        "validity": {"needs_face": True, "smallest_face": _SMALLEST_FACE},
        "region_threshold": threshold,
        "mask_threshold": 0.5,
    }
