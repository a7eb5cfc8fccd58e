"""Pictures that the model was not made for: the reason is the answer, everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data

import ftsdk
from ft_export.model.architecture import PUBLISHED, load_architecture
from ft_export.plan import plan_export
from ftsdk.analyzer import Analyzer
from ftsdk.batch.rows import Counts, answered
from ftsdk.batch.run import rows_of
from ftsdk.batch.sources import listing_of
from ftsdk.errors import OptionError
from ftsdk.events import Finished
from ftsdk.result import Result
from ftsdk.streaming.answers import FrameMasked, FrameReported
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.watching import watch_with
from ftsdk.strict import written
from ftsdk.validity import Reason


@pytest.fixture(scope="module")
def analyzer() -> Iterator[Analyzer]:
    with Analyzer(device="cpu") as analyzer:
        yield analyzer


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


def _drawing() -> np.ndarray:
    canvas = np.full((400, 400, 3), 255, np.uint8)
    cv2.circle(canvas, (200, 200), 120, (0, 0, 0), 3)
    cv2.line(canvas, (100, 380), (300, 380), (0, 0, 255), 5)
    return canvas


PICTURES = {
    "blank": np.full((300, 400, 3), 120, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8),
    "drawing": _drawing(),
    "coins": cv2.cvtColor(skimage.data.coins(), cv2.COLOR_GRAY2BGR),
    "coffee": cv2.cvtColor(skimage.data.coffee(), cv2.COLOR_RGB2BGR),
    "strip": np.full((16, 5000, 3), 90, np.uint8),
}


def _require_silent(result: Result, reason: Reason) -> None:
    assert result.cannot_tell is not None
    assert result.cannot_tell.reason is reason
    assert result.score is None
    assert result.report is None
    assert result.regions == ()
    assert result.others == ()
    assert not result.mask.any()
    assert result.mask.shape == (result.picture.height, result.picture.width)
    assert result.finding.startswith("Cannot tell.")
    assert result.warnings == ()


@pytest.mark.parametrize("name", PICTURES)
def test_without_a_face_nothing_is_said_of_one(analyzer: Analyzer, name: str) -> None:
    _require_silent(analyzer.analyze(PICTURES[name]), Reason.NO_FACE)


def test_a_face_that_is_too_small_is_said(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    small = cv2.resize(astronaut, (150, 150), interpolation=cv2.INTER_AREA)
    result = analyzer.analyze(small)
    _require_silent(result, Reason.SMALL_FACE)
    assert "px across" in result.finding


def test_the_stream_holds_the_reason_alone(analyzer: Analyzer) -> None:
    (event,) = analyzer.stream(PICTURES["blank"])
    assert isinstance(event, Finished)


def test_there_is_nothing_to_correct(analyzer: Analyzer) -> None:
    with pytest.raises(OptionError, match="no answer to correct"):
        analyzer.refine(analyzer.analyze(PICTURES["blank"]), regions=["nose"])


def test_every_document_says_why(analyzer: Analyzer, tmp_path: Path) -> None:
    result = analyzer.analyze(PICTURES["blank"])
    said = json.loads(result.to_json())
    assert said["schema_version"] == 2
    assert said["cannot_tell"]["reason"] == "no face"
    assert said["score"] is said["score_threshold"] is said["report"] is None
    assert said["suspected"] is None
    assert said["mask"]["run_lengths"] == [300 * 400]
    page = result.to_html(tmp_path / "report.html")
    assert said["cannot_tell"]["detail"] in page
    assert "gives no overall score" not in page
    assert set(result.save(tmp_path, "blank")) == {"overlay", "mask", "heatmap", "json"}
    counts = Counts()
    counts.add(answered("blank.png", result))
    assert (counts.answered, counts.suspected, counts.cannot_tell) == (1, 0, 1)


@pytest.mark.parametrize("report", [False, True])
def test_a_batch_and_a_resumed_watch_have_done_with_it(
    analyzer: Analyzer, tmp_path: Path, report: bool
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "noise.png"), PICTURES["noise"])
    listing = listing_of(str(folder))
    (row,) = rows_of(analyzer, listing, listing.entries, report=report)
    assert row["cannot_tell"]["reason"] == "no face"
    options = WatchOptions(report="always" if report else "never", resume=tmp_path / "journal")
    assert len([*watch_with(analyzer, folder, options)]) == 1
    assert not [*watch_with(analyzer, folder, options)]


def test_an_answer_has_no_reason(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    result = analyzer.analyze(astronaut, report=False)
    assert result.cannot_tell is None
    assert result.score is not None
    assert json.loads(result.to_json())["cannot_tell"] is None


def test_a_watch_goes_on_without_words(tmp_path: Path, astronaut: np.ndarray) -> None:
    for number, pixels in enumerate((PICTURES["blank"], astronaut)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels)
    frames = list(ftsdk.watch(str(tmp_path), device="cpu", report="always"))
    masked = {one.frame.index: one.result for one in frames if isinstance(one, FrameMasked)}
    assert masked[0].cannot_tell is not None
    assert masked[1].cannot_tell is None
    assert [one.frame.index for one in frames if isinstance(one, FrameReported)] == [1]


def test_sixteen_faces_are_each_answered(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    face = astronaut[:260, 90:350]
    crowd = np.vstack([np.hstack([face] * 4)] * 4)
    result = analyzer.analyze(crowd, report=False)
    assert result.cannot_tell is None
    assert len(result.others) == 15
    assert all((result.score or 0) >= (other.score or 0) > 0 for other in result.others)


@pytest.mark.parametrize("change", ["grey", "border", "covered", "screen"])
def test_odd_pictures_of_faces_are_answered_or_not_told(
    analyzer: Analyzer, astronaut: np.ndarray, change: str
) -> None:
    pixels = astronaut.copy()
    if change == "grey":
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    elif change == "border":
        pixels = np.ascontiguousarray(pixels[:, 225:])
    elif change == "covered":
        pixels[125:165, 190:260] = (200, 180, 120)
    else:
        pixels[::3] = pixels[::3] // 2
    result = analyzer.analyze(pixels)
    if result.cannot_tell is None:
        assert result.score is not None
        assert result.report
    else:
        _require_silent(result, result.cannot_tell.reason)


def test_the_published_model_says_nothing_of_a_picture_without_a_face(
    edited_bundle: Callable[[Callable[[dict[str, Any]], None]], Path],
    mini_weights: Path,
    parity: Path,
    astronaut: np.ndarray,
) -> None:
    needs = PUBLISHED["xl"].needs_face
    described = load_architecture(str(parity / "architecture.json"))
    plan = plan_export(mini_weights, described.model_copy(update={"needs_face": needs}), "mini")
    validity = json.loads(written(plan.validity))
    bundle = edited_bundle(lambda manifest: manifest.update(validity=validity))
    with Analyzer(bundle, device="cpu") as published:
        _require_silent(published.analyze(_drawing()), Reason.NO_FACE)
        assert published.analyze(astronaut).cannot_tell is None
