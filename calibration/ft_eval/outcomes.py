"""What an answer about one picture is worth, and what many of them come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ft_eval.intervals import Interval, mean_interval, pair_interval, share_interval
from ft_eval.metrics import (
    Mask,
    MaskScores,
    auc,
    calibration_error,
    f1_of_counts,
    found_at,
    mask_scores,
    predicted_mask,
)
from ft_eval.text_metrics import DocumentFrequencies, Pair, TextScores, text_scores, tokenize
from ft_forge.mmtt import Record
from ft_forge.recipe import UNTOUCHED
from ftsdk.claims import named_regions, unsupported_regions
from ftsdk.decision import EMPTY_SHARE
from ftsdk.errors import RecordError
from ftsdk.result import Result

#: The family of a forgery whose record names none.
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class RegionCounts:
    """Regions of one picture: found and true, found, true."""

    hits: int
    found: int
    true: int


@dataclass(frozen=True)
class Outcome:
    """One answer held against the truth.

    Attributes:
        family: the kind of forgery, "untouched", or "unlabelled".
        source: where the picture comes from; empty if unknown.
        forged: the record says so, or the truth's mask is not empty.
        mask: agreement of the masks; None where no mask is known.
        marked: the predicted mask is not empty.
        score: likelihood of manipulation; None if the model has none.
        cannot_tell: there is no answer.
        suspected: the score reaches the shipped threshold; without a score, `marked`.
        regions: counts over the labels; None where the record has no labels.
        named: regions that the report names; `borne_out`: those of them under the mask.
        names_part: the report names a manipulated region; None without report or labels.
        text: report and reference as tokens; None without either.
    """

    family: str
    source: str
    forged: bool
    mask: MaskScores | None
    marked: bool
    score: float | None
    cannot_tell: bool
    suspected: bool
    regions: RegionCounts | None
    named: int
    borne_out: int
    names_part: bool | None
    text: Pair | None


def judge(record: Record, result: Result, truth: Mask | None) -> Outcome:
    """Hold an answer against its record and the true mask [H, W] bool, None where there is none.

    Raises:
        RecordError: the record has another number of labels than the model.
    """
    face_mask = result.face_mask
    marked = bool(face_mask.mean() >= EMPTY_SHARE)
    labels = _true_labels(record, result)
    forged = truth is not None if record.forged is None else record.forged
    named = named_regions(result.report or "") & result.region_probabilities.keys()
    unborne = named.intersection(unsupported_regions(result.report or "", face_mask))
    return Outcome(
        family=str(record.attribute or UNLABELLED) if forged else UNTOUCHED,
        source=record.source or "",
        forged=forged,
        mask=None if truth is None else _mask_scores(result, truth),
        marked=marked,
        score=result.score,
        cannot_tell=result.cannot_tell is not None,
        suspected=_suspected(result, marked),
        regions=None if labels is None else _counts(result, labels),
        named=len(named),
        borne_out=len(named) - len(unborne),
        names_part=bool(named & labels) if labels and result.report is not None else None,
        text=_pair(result.report, record.caption),
    )


def _suspected(result: Result, marked: bool) -> bool:
    if result.cannot_tell is not None:
        return False
    return marked if result.suspected is None else result.suspected


def _mask_scores(result: Result, truth: Mask) -> MaskScores:
    height, width = truth.shape
    return mask_scores(predicted_mask(result.probabilities, height, width), truth)


def _true_labels(record: Record, result: Result) -> set[str] | None:
    if record.multilabel is None or result.cannot_tell is not None:
        return None
    labels = list(result.region_probabilities)
    if len(record.multilabel) != len(labels):
        raise RecordError(
            f"The record of {record.image_id} has other labels than the model.",
            expected=f"{len(labels)} labels",
            found=f"{len(record.multilabel)}",
            cure="correct the record, or leave multilabel out",
        )
    return {name for name, bit in zip(labels, record.multilabel, strict=True) if bit}


def _counts(result: Result, true: set[str]) -> RegionCounts:
    found = {region.name for region in result.regions}
    return RegionCounts(len(found & true), len(found), len(true))


def _pair(report: str | None, caption: str) -> Pair | None:
    if report is None or not caption:
        return None
    return Pair(tokenize(report), tokenize(caption))


@dataclass(frozen=True)
class Summary:
    """Figures of a set of pictures; shares are 0 to 1, None where nothing can be measured.

    Attributes:
        pictures, forged: how many.
        iou, precision, recall, f1: means over the forged pictures whose mask is known.
        cannot_tell: share that got no answer. They have no score, so that they are in no figure
            about scores but the shares found and falsely suspected: there they count as neither.
        auc: of the forged against all untouched pictures of the data set, by score.
        found: share of the forged whose score reaches the shipped threshold.
        false_positive_rate: the same share of the untouched.
        found_at_1, found_at_5: share of the forged whose score exceeds those of all but 1 % or 5 %
            of the data set's untouched pictures: at a true rate of false alarms, whatever the
            shipped threshold says.
        false_mask_rate: share of the untouched whose mask is not empty.
        calibration_error: expected calibration error of the score, both classes weighing half.
        region_f1: over pooled counts of all labels.
        report_agreement: share of named regions whose usual place the mask covers.
        report_names_part: share of found forgeries whose report names a manipulated region.
        text: agreement of the reports with the reference captions.
        intervals: 95 % confidence intervals by figure: Wilson's for shares, else the percentiles
            of 1,000 bootstrap resamples of the pictures.
    """

    pictures: int
    forged: int
    iou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    cannot_tell: float | None
    auc: float | None
    found: float | None
    false_positive_rate: float | None
    found_at_1: float | None
    found_at_5: float | None
    false_mask_rate: float | None
    calibration_error: float | None
    region_f1: float | None
    report_agreement: float | None
    report_names_part: float | None
    text: TextScores | None
    intervals: dict[str, Interval]


def summarise(
    outcomes: Sequence[Outcome], everything: Sequence[Outcome], frequencies: DocumentFrequencies
) -> Summary:
    """Return the figures of `outcomes`, a part or all of the data set `everything`.

    The rest of the data set gives the untouched scores for the AUC, and `frequencies`.
    """
    forged = [outcome for outcome in outcomes if outcome.forged]
    untouched = [outcome for outcome in outcomes if not outcome.forged]
    masks = [outcome.mask for outcome in forged if outcome.mask is not None]
    has_score = any(outcome.score is not None for outcome in outcomes)
    counts = [outcome.regions for outcome in outcomes if outcome.regions is not None]
    named = sum(outcome.named for outcome in outcomes)
    pairs = [outcome.text for outcome in outcomes if outcome.text is not None]
    quiet, loud = _scores(o for o in everything if not o.forged), _scores(forged)
    found = [outcome.suspected for outcome in forged] if has_score else []
    alarms = [outcome.suspected for outcome in untouched] if has_score else []
    return Summary(
        pictures=len(outcomes),
        forged=len(forged),
        iou=_mean(scores.iou for scores in masks),
        precision=_mean(scores.precision for scores in masks),
        recall=_mean(scores.recall for scores in masks),
        f1=_mean(scores.f1 for scores in masks),
        cannot_tell=_mean(outcome.cannot_tell for outcome in outcomes),
        auc=auc(quiet, loud),
        found=_mean(found),
        false_positive_rate=_mean(alarms),
        found_at_1=found_at(quiet, loud, 0.01),
        found_at_5=found_at(quiet, loud, 0.05),
        false_mask_rate=_mean(outcome.marked for outcome in untouched),
        calibration_error=calibration_error(_scores(untouched), _scores(forged)),
        region_f1=f1_of_counts(
            sum(count.hits for count in counts),
            sum(count.found for count in counts),
            sum(count.true for count in counts),
        ),
        report_agreement=sum(o.borne_out for o in outcomes) / named if named else None,
        report_names_part=_mean(
            o.names_part for o in forged if o.suspected and o.names_part is not None
        ),
        text=text_scores(pairs, frequencies),
        intervals=_present({
            "iou": mean_interval(np.array([scores.iou for scores in masks])),
            "auc": pair_interval(auc, quiet, loud),
            "found": share_interval(found),
            "false_positive_rate": share_interval(alarms),
            "found_at_5": pair_interval(partial(found_at, rate=0.05), quiet, loud),
        }),
    )  # fmt: skip


def _present(intervals: dict[str, Interval | None]) -> dict[str, Interval]:
    return {name: interval for name, interval in intervals.items() if interval is not None}


def _scores(outcomes: Iterable[Outcome]) -> NDArray[np.float64]:
    return np.array([o.score for o in outcomes if o.score is not None], np.float64)


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None
