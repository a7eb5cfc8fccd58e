"""Fits what a calibration holds, on photographs of people that training never saw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ft_forge import LABELS, UNTOUCHED
from ft_training.calibration import (
    Scores,
    best_region_threshold,
    calibrate,
    logit_of,
    unsure_scores,
)
from ft_training.model import Nano, Seen
from ft_training.samples import (
    LOW_QUALITIES,
    TREATMENTS,
    Sample,
    untouched,
    validation_forgeries,
)
from ftsdk.decision import EMPTY_SHARE

#: Forgeries a family and face folder.
A_FAMILY = 14
#: Of the untouched pictures in which nothing is found, the share that may have a mask all the same.
MARKED_SHARE = 0.001
_NO_LABEL = torch.zeros(1, len(LABELS))
SEED = 5
#: Px across of the smallest frame of which an answer is given.
_SMALLEST_FACE = 64
#: The untouched pictures of a source with fewer people fit no threshold.
LEAST_PEOPLE = 20
#: From this share of false alarms on a JPEG quality is too low for an answer.
SEEN_SHARE = 0.08


@dataclass(frozen=True)
class Judged:
    """A sample, less its picture, with what the vision stages say of it."""

    sample: Sample
    seen: Seen
    treatment: str

    @property
    def untouched(self) -> bool:
        """Whether nothing was forged in it."""
        return self.sample.family == UNTOUCHED

    @property
    def score_logit(self) -> float:
        """What the score is made from."""
        return float(self.seen.score_logits)


def _judged(model: Nano, sample: Sample, treatment: str) -> Judged:
    """Return what `model` says of a sample, without the picture and what no fit needs.

    Thousands are kept: what a mask is made from is kept in 16 bits.
    """
    seen = model.see(sample.pixel_values())
    kept = replace(
        seen, image_embeds=torch.empty(0), evidence=torch.empty(0), detail_48=seen.detail_48.half(),
        detail_96=seen.detail_96.half(), region_maps=seen.region_maps.half(),
    )  # fmt: skip
    whole = replace(sample.seen, image=np.empty((0, 0, 3), np.uint8))
    return Judged(replace(sample, seen=whole), kept, treatment)


def _mask_logits(model: Nano, one: Judged, labels: Tensor) -> NDArray[np.float32]:
    """Return mask logits `[S/2, S/2]` of a judged sample under `labels` `[1, 21]`."""
    seen = replace(
        one.seen, detail_48=one.seen.detail_48.float(), detail_96=one.seen.detail_96.float(),
        region_maps=one.seen.region_maps.float(),
    )  # fmt: skip
    logits: NDArray[np.float32] = model.mask(seen, labels)[0].numpy()
    return logits


@torch.no_grad()
def judge(model: Nano, faces: list[Path], a_family: int = A_FAMILY) -> list[Judged]:
    """Let `model` see the validation people: forged, and untouched after each treatment."""
    judged = [
        _judged(model, sample, "history") for sample in validation_forgeries(faces, a_family, SEED)
    ]
    for treatment in (*TREATMENTS, *LOW_QUALITIES):
        judged += [_judged(model, sample, treatment) for sample in untouched(faces, treatment)]
    return judged


def worst_sources(judged: list[Judged], cut: float) -> dict[str, dict[str, float]]:
    """Return, by treatment, the share of untouched pictures of each source that exceed `cut`."""
    shares: dict[str, dict[str, float]] = {}
    for treatment in TREATMENTS:
        by_source: dict[str, list[Judged]] = {"all": []}
        for one in judged:
            if one.untouched and one.treatment == treatment:
                by_source["all"].append(one)
                by_source.setdefault(one.sample.source or "synthetic", []).append(one)
        shares[treatment] = {name: _share(rows, cut) for name, rows in by_source.items()}
    return shares


def _share(rows: list[Judged], cut: float) -> float:
    return round(float(np.mean([one.score_logit > cut for one in rows])), 4) if rows else 0.0


def _needed_fall(logits: NDArray[Any], size: tuple[int, int]) -> float:
    """Return how far mask logits must fall for the mask to be empty at a picture's size [W, H]."""
    seen = cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR)
    return float(np.quantile(seen, 1 - EMPTY_SHARE))


@torch.no_grad()
def silencing_fall(model: Nano, judged: list[Judged], low: float) -> float:
    """Return how far mask logits must fall so that where nothing is found nothing is marked.

    Args:
        model: the model, its mask decoder's `quiet` at 0.
        judged: of these the untouched with a score logit below `low` count.
        low: from this score logit on another answer is given.
    """
    falls = [
        _needed_fall(_mask_logits(model, one, _NO_LABEL), one.sample.seen.mask.shape[1::-1])
        for one in judged
        if one.untouched and one.score_logit < low
    ]
    return max(float(np.quantile(falls or [0.0], 1 - MARKED_SHARE, method="higher")), 0.0)


@torch.no_grad()
def fit_calibration(model: Nano, judged: list[Judged]) -> dict[str, Any]:
    """Set the mask decoder's `quiet` and `certain` and return what `calibration.json` holds.

    The score is fitted on photographs alone, the rest on synthetic people too.
    """
    own = _telling([one for one in judged if one.sample.source])
    quiet = [one for one in own if one.untouched and one.treatment in TREATMENTS]
    treatments = _grouped(quiet, [one.treatment for one in quiet])
    sources = _grouped(quiet, [one.sample.source for one in quiet])
    score = calibrate(treatments, sources, _scores([one for one in own if not one.untouched]))
    cut = logit_of(score["operating_points"]["default"], score)
    regions = np.concatenate([one.seen.region_logits.numpy() for one in judged])
    labels = np.array([one.sample.seen.labels for one in judged])
    threshold = best_region_threshold(regions, labels)
    unsure = unsure_scores(_scores(quiet), score)
    decoder = model.mask_decoder
    decoder.certain.fill_(cut)
    decoder.quiet.fill_(0.0)
    decoder.quiet.fill_(silencing_fall(model, judged, logit_of(unsure[0], score)))
    return {
        "score": score,
        "validity": {
            "needs_face": True,
            "smallest_face": _SMALLEST_FACE,
            "unsure_scores": unsure,
            "lowest_jpeg_quality": lowest_quality(own, cut),
        },
        "region_threshold": threshold,
        "mask_threshold": 0.5,
    }


def _telling(judged: list[Judged]) -> list[Judged]:
    """Leave out the untouched pictures of sources with few people.

    Such a source weighs with each of its mistakes; among object photographs a "face" is often none.
    """
    people: dict[str, set[str]] = {}
    for one in judged:
        people.setdefault(one.sample.source, set()).add(one.sample.identity)
    return [
        one for one in judged if not one.untouched or len(people[one.sample.source]) >= LEAST_PEOPLE
    ]


def _scores(judged: list[Judged]) -> Scores:
    return np.array([one.score_logit for one in judged])


def _grouped(judged: list[Judged], names: list[str]) -> dict[str, Scores]:
    groups: dict[str, list[Judged]] = {}
    for one, name in zip(judged, names, strict=True):
        groups.setdefault(name, []).append(one)
    return {name: _scores(rows) for name, rows in groups.items()}


def lowest_quality(judged: list[Judged], cut: float) -> int | None:
    """Return the lowest JPEG quality at which untouched pictures seldom exceed `cut`.

    None where even the lowest that was tried is harmless.
    """
    lowest = 70
    for treatment, quality in LOW_QUALITIES.items():
        rows = [one for one in judged if one.untouched and one.treatment == treatment]
        if not rows or _share(rows, cut) > SEEN_SHARE:
            return lowest
        lowest = quality
    return None
