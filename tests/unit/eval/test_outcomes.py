"""An answer held against the truth, and the figures of several, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ft_eval.metrics import MaskScores
from ft_eval.outcomes import RegionCounts, judge, summarise
from ft_eval.text_metrics import DocumentFrequencies
from ft_forge import LABELS
from ft_forge.mmtt import Record
from ftsdk.answer import Provenance, Region
from ftsdk.errors import RecordError
from ftsdk.imaging.framing import Box
from ftsdk.imaging.layout import region_place
from ftsdk.imaging.picture import freeze
from ftsdk.result import Result
from ftsdk.validity import CannotTell, Reason

SIDE = 64
NOSE = region_place("nose", SIDE)
NOBODY = Provenance("0", "none", "", "float32", "none", "cpu", "", "")
NOTHING = DocumentFrequencies([])


def _answer(
    mask: NDArray[np.bool_] = NOSE,
    regions: tuple[str, ...] = ("nose",),
    report: str | None = "The nose looks blurred.",
    score: float | None = 0.8,
) -> Result:
    return Result(
        picture=freeze(np.zeros((*mask.shape, 3), np.uint8), None, "array", []),
        face=None,
        probabilities=mask.astype(np.float32),
        mask_threshold=0.5,
        regions=tuple(Region(name, 0.9) for name in regions),
        region_probabilities=dict.fromkeys(LABELS, 0.5),
        report=report,
        report_ids=(),
        score=score,
        score_threshold=None if score is None else 0.7,
        corrections=(),
        limits=(),
        timings={},
        provenance=NOBODY,
        image_tensors={},
    )


def _record(*labels: str, **fields: str) -> Record:
    bits = [int(name in labels) for name in LABELS]
    return replace(Record(1, 1, "a.png", multilabel=bits), **fields)


def test_a_right_answer() -> None:
    record = _record("nose", attribute="part_swap", caption="The nose is blurred.")
    outcome = judge(record, _answer(), NOSE)
    assert (outcome.family, outcome.forged, outcome.marked) == ("part_swap", True, True)
    assert outcome.mask == MaskScores(1, 1, 1, 1)
    assert outcome.regions == RegionCounts(1, 1, 1)
    assert (outcome.named, outcome.borne_out, outcome.names_part) == (1, 1, True)
    assert outcome.suspected
    assert outcome.text is not None
    assert outcome.text.reference == ("the", "nose", "is", "blurred")


def test_a_report_that_the_mask_does_not_bear_out() -> None:
    answer = _answer(report="The nose and the forehead look odd.")
    outcome = judge(_record("chin"), answer, NOSE)
    assert (outcome.named, outcome.borne_out, outcome.names_part) == (2, 1, False)
    assert outcome.family == "unlabelled"


def test_a_face_inside_a_larger_picture_is_compared_in_its_frame() -> None:
    large = np.zeros((3 * SIDE, 4 * SIDE), bool)
    large[SIDE : 2 * SIDE, 2 * SIDE : 3 * SIDE] = NOSE
    answer = replace(_answer(large), face=Box(2 * SIDE, SIDE, SIDE))
    outcome = judge(_record("nose"), answer, large)
    assert outcome.mask == MaskScores(1, 1, 1, 1)
    assert outcome.borne_out == 1


def test_an_untouched_picture_has_no_mask_to_agree_with() -> None:
    answer = _answer(np.zeros_like(NOSE), (), "No manipulation was found.", 0.1)
    outcome = judge(_record(attribute="anything"), answer, None)
    assert (outcome.family, outcome.mask, outcome.marked) == ("untouched", None, False)
    assert (outcome.suspected, outcome.names_part) == (False, None)


def test_without_a_score_a_mask_is_a_suspicion() -> None:
    assert judge(_record("nose"), _answer(score=None), NOSE).suspected
    empty = _answer(np.zeros_like(NOSE), score=None)
    assert not judge(_record("nose"), empty, NOSE).suspected


def test_other_labels_than_the_models_are_an_error() -> None:
    with pytest.raises(RecordError, match="21 labels"):
        judge(replace(_record(), multilabel=[1, 0]), _answer(), NOSE)


def test_unknown_labels_and_captions_are_left_out() -> None:
    outcome = judge(replace(_record(), multilabel=None), _answer(), NOSE)
    assert (outcome.regions, outcome.names_part, outcome.text) == (None, None, None)


def test_figures_by_hand() -> None:
    empty = np.zeros_like(NOSE)
    outcomes = [
        judge(_record("nose", attribute="a"), _answer(score=0.9), NOSE),
        judge(_record("nose", attribute="b"), _answer(empty, (), "Nothing.", 0.6), NOSE),
        judge(_record(), _answer(score=0.7), None),
        judge(_record(), _answer(empty, (), "Nothing.", 0.2), None),
    ]
    total = summarise(outcomes, outcomes, NOTHING)
    assert (total.pictures, total.forged) == (4, 2)
    assert (total.iou, total.precision, total.recall, total.f1) == (0.5, 0.5, 0.5, 0.5)
    # 0.9 beats both untouched scores, 0.6 one of them.
    assert total.auc == 3 / 4
    assert (total.found, total.false_positive_rate, total.false_mask_rate) == (0.5, 0.5, 0.5)
    # One nose found and true, one found and not true, one true and not found.
    assert total.region_f1 == 2 * 1 / (2 + 2)
    assert (total.report_agreement, total.report_names_part) == (1, 1)
    assert total.text is None


def test_a_family_is_ranked_against_all_untouched() -> None:
    outcomes = [
        judge(_record("nose", attribute="a"), _answer(score=0.5), NOSE),
        judge(_record(), _answer(score=0.4), None),
        judge(_record(), _answer(score=0.6), None),
    ]
    family = summarise(outcomes[:1], outcomes, NOTHING)
    assert family.auc == 0.5
    assert (family.false_positive_rate, family.calibration_error) == (None, None)


def test_a_forgery_without_a_known_mask_counts_by_its_score_alone() -> None:
    outcome = judge(replace(_record(), source="agency", forged=True), _answer(score=0.9), None)
    assert (outcome.forged, outcome.mask, outcome.source) == (True, None, "agency")
    total = summarise([outcome], [outcome], NOTHING)
    assert (total.found, total.iou) == (1, None)


def test_no_answer_is_neither_a_find_nor_a_false_alarm() -> None:
    why = CannotTell(Reason.NO_FACE, "No face was found.")
    nothing = _answer(np.zeros_like(NOSE), (), None, None)
    silent = replace(nothing, cannot_tell=why, region_probabilities={})
    outcomes = [
        judge(replace(_record(), forged=True), silent, None),
        judge(_record(), silent, None),
        judge(_record(), _answer(np.zeros_like(NOSE), (), None, 0.2), None),
        judge(replace(_record(), forged=True), _answer(score=0.9), None),
    ]
    total = summarise(outcomes, outcomes, NOTHING)
    assert total.cannot_tell == 0.5
    assert (total.found, total.false_positive_rate, total.auc) == (0.5, 0, 1)


def test_figures_of_a_model_without_a_score() -> None:
    outcomes = [judge(_record("nose"), _answer(score=None), NOSE)]
    total = summarise(outcomes, outcomes, NOTHING)
    assert (total.auc, total.found, total.false_positive_rate) == (None, None, None)
    assert total.iou == 1
