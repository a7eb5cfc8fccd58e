"""A picture of two faces: one answer each, and a mask of both."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from ftsdk.analyzer import Analyzer
from ftsdk.events import Finished, MaskReady
from ftsdk.imaging.framing import cut_out
from ftsdk.result import Result


@pytest.fixture(scope="module")
def couple() -> np.ndarray:
    """The astronaut beside herself; the right one's mouth and nose are smeared."""
    portrait = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    forged = portrait.copy()
    forged[110:165, 195:250] = cv2.GaussianBlur(forged[110:165, 195:250], (0, 0), 6)
    return np.hstack([portrait, forged])


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer(device="cpu")


@pytest.fixture(scope="module")
def result(analyzer: Analyzer, couple: np.ndarray) -> Result:
    return analyzer.analyze(couple)


def test_each_face_is_answered_the_most_suspicious_first(
    analyzer: Analyzer, couple: np.ndarray, result: Result
) -> None:
    assert len(result.others) == 1
    other = result.others[0]
    assert result.face is not None
    assert other.face is not None
    assert result.score is not None
    assert other.score is not None
    assert result.score >= other.score
    assert result.report
    assert other.report
    alone = analyzer.analyze(cut_out(couple, other.face))
    assert other.score == pytest.approx(alone.score, abs=1e-4)
    assert other.report == alone.report


def test_masks_of_both_lie_at_their_faces(couple: np.ndarray, result: Result) -> None:
    assert result.heatmap.shape == couple.shape[:2]
    faces = (result, *result.others)
    for face in faces:
        assert face.face is not None
        left = face.face.x < 400
        half = np.s_[:, :512] if left else np.s_[:, 512:]
        own = result.others[0].heatmap if face is not result else result.heatmap
        assert np.abs(result.heatmap[half] - own[half]).max() < 0.1
    assert (result.mask | result.others[0].mask).sum() == pytest.approx(result.mask.sum(), rel=0.05)


def test_a_correction_leaves_the_other_face_alone(analyzer: Analyzer, result: Result) -> None:
    fixed = analyzer.refine(result, regions=["forehead"])
    assert [region.name for region in fixed.regions] == ["forehead"]
    assert fixed.others == result.others
    assert fixed.score == result.score
    beside = analyzer.refine(result.others[0], regions=["chin"])
    assert [region.name for region in beside.regions] == ["chin"]
    assert beside.face == result.others[0].face


def test_the_stream_masks_all_faces_at_once(analyzer: Analyzer, couple: np.ndarray) -> None:
    events = list(analyzer.stream(couple, report=False))
    (mask,) = (event for event in events if isinstance(event, MaskReady))
    finished = events[-1]
    assert isinstance(finished, Finished)
    np.testing.assert_array_equal(mask.probabilities, finished.result.probabilities)
    assert mask.score == finished.result.score


def test_the_other_face_is_in_every_document(result: Result, tmp_path: Path) -> None:
    (other,) = json.loads(result.to_json())["others"]
    assert other["report"] == result.others[0].report
    assert set(other) == {"face", "finding", "score", "regions", "report", "warnings"}
    page = result.to_html(tmp_path / "report.html")
    assert "The other faces" in page
    assert f"Face at x {other['face']['x']}" in page
