"""A picture of two faces: one answer each, and a mask of both."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from ftsdk.analyzer import Analyzer
from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensors
from ftsdk.errors import AnalysisCancelledError, EngineRunError
from ftsdk.events import Finished, MaskReady, RegionsFound, ReportToken
from ftsdk.imaging.framing import cut_out
from ftsdk.language.options import Language
from ftsdk.question import Question
from ftsdk.result import Result
from ftsdk.stopwatch import Stopwatch


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


@pytest.fixture(scope="module")
def family() -> np.ndarray:
    """Six faces, forged in other places: other regions, so other lengths of prompt and report."""
    pictures = Path(__file__).parents[2] / "examples" / "pictures"
    forged, untouched = (
        cv2.resize(cv2.imread(str(pictures / name)), (320, 320), interpolation=cv2.INTER_AREA)
        for name in ("portrait_forged.jpg", "portrait.jpg")
    )
    eyes, mouth = untouched.copy(), untouched.copy()
    eyes[120:200], mouth[200:] = forged[120:200], forged[200:]
    every = [untouched, forged, eyes, mouth, forged[:, ::-1], untouched[:, ::-1]]
    return np.vstack([np.hstack(every[:3]), np.hstack(every[3:])])


def alone(analyzer: Analyzer, picture: np.ndarray, language: Language) -> list[Result]:
    """Return the answers where every step sees a face at a time, in the order of the views."""
    watch, question = Stopwatch(), Question(None, None, True, language)
    answers = []
    for view in analyzer.prepare(picture, "bgr", watch):
        asked = analyzer.ask(analyzer.look([view], watch), question, watch)
        *_, finished = analyzer.explain(analyzer.locate(asked, question, watch), question, watch)
        assert isinstance(finished, Finished)
        answers.append(finished.result)
    return answers


@pytest.mark.parametrize("language", [Language(), Language(beams=3)])
def test_every_face_is_answered_as_alone(family: np.ndarray, language: Language) -> None:
    with Analyzer(device="cpu", language=language, cache_bytes=0) as nano:
        together = nano.analyze(family)
        expected = {one.face: one for one in alone(nano, family, language)}
    faces = (together, *together.others)
    assert len(faces) == len(expected) == 6
    assert len({one.report for one in faces}) > 1
    for found in faces:
        one = expected[found.face]
        assert found.report_ids == one.report_ids
        assert found.report == one.report
        assert [r.name for r in found.regions] == [r.name for r in one.regions]
        assert found.score == pytest.approx(one.score, abs=1e-5) or found is together
        if found is not together:  # the first one's mask is of all faces
            np.testing.assert_allclose(found.probabilities, one.probabilities, atol=1e-5)


def test_the_first_face_is_told_while_the_others_are_written(
    analyzer: Analyzer, family: np.ndarray
) -> None:
    events = list(analyzer.stream(family))
    kinds = [type(event) for event in events]
    words = [event for event in events if isinstance(event, ReportToken)]
    assert kinds == [RegionsFound, MaskReady, *[ReportToken] * len(words), Finished]
    result = events[-1].result
    assert "".join(word.text for word in words) == result.report
    assert [word.id for word in words] == [*result.report_ids[1:]]
    assert all(other.report for other in result.others)


class Noted(Engine):
    """A stage that says when it runs."""

    def __init__(self, name: str, engine: Engine, ran: list[str]) -> None:
        self.name, self.engine, self.ran = name, engine, ran

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        self.ran.append(self.name)
        return self.engine.infer(inputs, cancellation)

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        self.ran.append(self.name)
        return self.engine.bind(inputs, outputs)

    def close(self) -> None:
        self.engine.close()


def test_nothing_runs_before_the_event_that_it_is_not_needed_for(family: np.ndarray) -> None:
    ran: list[str] = []
    with Analyzer(device="cpu", cache_bytes=0) as nano:
        nano.stages.replace(lambda name, engine: Noted(name, engine, ran))
        events = nano.stream(family)
        assert isinstance(next(events), RegionsFound)
        assert {*ran} == {"face_detector", "vision_encoder", "forgery_prompter"}
        ran.clear()
        assert isinstance(next(events), MaskReady)
        assert {*ran} == {"mask_decoder"}
        ran.clear()
        assert isinstance(next(events), ReportToken)
        assert ran.count("language_decoder") == 1
        assert {*ran} == {"qformer", "language_encoder", "language_decoder"}
        ran.clear()
        assert isinstance([*events][-1], Finished)
        assert not ran


def test_a_decoder_without_room_for_all_writes_one_by_one_and_says_so(
    family: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    with Analyzer(device="cpu", cache_bytes=0) as nano:
        expected = nano.analyze(family)
        decoder = nano.stages["language_decoder"]
        nano.stages["language_decoder"] = OneFaceOnly(decoder)
        found = nano.analyze(family)
    assert found.report == expected.report
    assert [one.report for one in found.others] == [one.report for one in expected.others]
    assert "language_decoder: 6 faces at once failed" in caplog.text
    assert "no room" in caplog.text


class OneFaceOnly(Engine):
    """A decoder on a device that holds one face's keys."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        return self.engine.infer(inputs, cancellation)

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        if inputs["source_mask"].shape[0] > 1:
            raise EngineRunError("out of memory", expected="", found="no room", cure="")
        return self.engine.bind(inputs, outputs)

    def close(self) -> None:
        self.engine.close()


def test_giving_up_while_several_are_written_stops_them(family: np.ndarray) -> None:
    given_up = Cancellation()
    with Analyzer(device="cpu") as nano:
        events = nano.stream(family, cancellation=given_up)
        for event in events:
            if isinstance(event, ReportToken):
                given_up.cancel()
                break
        with pytest.raises(AnalysisCancelledError):
            next(events)


def test_the_other_face_is_in_every_document(result: Result, tmp_path: Path) -> None:
    (other,) = json.loads(result.to_json())["others"]
    assert other["report"] == result.others[0].report
    assert set(other) == {
        "face", "finding", "suspected", "score", "regions", "report", "warnings",
    }  # fmt: skip
    assert other["suspected"] is result.others[0].suspected
    page = result.to_html(tmp_path / "report.html")
    assert "The other faces" in page
    assert f"Face at x {other['face']['x']}" in page
