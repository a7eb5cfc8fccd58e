"""The answer as values, as JSON, as files and as words."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ftsdk.analyzer import Analyzer
from ftsdk.events import Finished
from ftsdk.result import Result, run_lengths
from ftsdk.streaming.summary import VideoSummary

CLAIMS = re.compile(r"authentic(?!at)|genuine|real photo|untampered|not manipulated", re.IGNORECASE)
WRITTEN = {".py", ".html", ".js", ".css", ".md"}


@pytest.fixture(scope="module")
def result(mini: Analyzer, face: Path) -> Result:
    return mini.analyze(face)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20)))
@example(np.zeros((1, 1), bool))
@example(np.ones((2, 3), bool))
def test_run_lengths_are_the_mask(mask: np.ndarray) -> None:
    lengths = run_lengths(mask)
    assert sum(lengths) == mask.size
    assert all(length > 0 for length in lengths[1:])
    values = np.arange(len(lengths)) % 2 == 1
    np.testing.assert_array_equal(np.repeat(values, lengths).reshape(mask.shape), mask)


def documented(pattern: str, section: str) -> set[str]:
    text = (REPOSITORY / "docs/result.md").read_text(encoding="utf-8")
    _, _, after = text.partition(f"# {section}\n")
    return set(re.findall(pattern, after.partition("\n## ")[0], re.MULTILINE))


def test_the_json_has_exactly_the_documented_fields(result: Result) -> None:
    answer = json.loads(result.to_json())
    assert set(answer) == documented(r"^\| `(\w+)(?:\.\w+)?` \|", "The result as JSON")
    assert set(answer["mask"]) == documented(r"^\| `mask\.(\w+)` \|", "The result as JSON")
    assert set(answer["provenance"]) == {
        "ftsdk", "bundle", "bundle_sha256", "precision",
        "runtime", "device", "picture_sha256", "created",
    }  # fmt: skip
    assert answer["schema_version"] == 2
    assert json.loads(result.to_json(indent=None)) == answer


def test_the_json_of_a_video_has_exactly_the_documented_fields() -> None:
    fields = documented(r"^\| `(\w+)` \|", "Of a video")
    assert fields == {"video", *VideoSummary().to_dict()}


def test_the_json_says_what_the_object_says(result: Result, face: Path) -> None:
    answer = json.loads(result.to_json())
    assert answer["picture"]["name"] == face.name
    assert (answer["picture"]["width"], answer["picture"]["height"]) == (120, 90)
    assert answer["report"] == result.report
    assert [entry["name"] for entry in answer["regions"]] == [r.name for r in result.regions]
    lengths = answer["mask"]["run_lengths"]
    mask = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(90, 120)
    np.testing.assert_array_equal(mask, result.mask)
    assert answer["mask"]["area"] == pytest.approx(result.mask.mean())
    steps = {k: v for k, v in answer["timings_ms"].items() if k != "total"}
    assert answer["timings_ms"]["total"] == pytest.approx(sum(steps.values()), abs=0.1)


def test_warnings_say_where_the_report_leaves_the_mask(result: Result) -> None:
    empty = dataclasses.replace(
        result, probabilities=np.zeros_like(result.probabilities), report="The nose looks pasted."
    )
    assert empty.warnings[:-1] == empty.limits
    assert "nose, where the mask is empty" in empty.warnings[-1]
    assert json.loads(empty.to_json())["warnings"][-1] == empty.warnings[-1]
    full = dataclasses.replace(empty, probabilities=np.ones_like(result.probabilities))
    assert full.warnings == full.limits


def test_maps_have_the_picture_s_size(result: Result) -> None:
    assert result.heatmap.shape == result.mask.shape == (90, 120)
    assert result.heatmap.dtype == np.float32
    assert result.mask.dtype == np.bool_
    assert 0 <= result.heatmap.min() <= result.heatmap.max() <= 1
    drawn = result.plot()
    assert drawn.shape == (90, 120, 3)
    assert drawn.dtype == np.uint8


def test_saved_files_are_whole(result: Result, tmp_path: Path) -> None:
    paths = result.save(tmp_path / "new" / "folder")
    assert set(paths) == {"overlay", "mask", "heatmap", "json"}
    assert set((tmp_path / "new/folder").iterdir()) == set(paths.values())
    assert paths["json"].name == "face.json"
    saved = cv2.imread(str(paths["mask"]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(saved > 0, result.mask)
    np.testing.assert_array_equal(cv2.imread(str(paths["overlay"])), result.plot())
    assert json.loads(paths["json"].read_text(encoding="utf-8")) == result.to_dict()
    assert result.save(tmp_path, "other")["json"] == tmp_path / "other.json"


def test_a_result_cannot_be_changed(result: Result) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.report = "another"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        result.picture.pixels[0, 0, 0] = 1


def test_whatever_holds_arrays_can_be_compared_kept_in_sets_and_printed(
    mini: Analyzer, face: Path
) -> None:
    events = [*mini.stream(face)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    said = [*events, finished.result, finished.result.picture]
    for one in said:
        again = dataclasses.replace(one)
        assert one in [again, one]
        assert one in {again, one}
        assert "array(" not in repr(one)
        assert len(repr(one)) < 2000
    assert repr(finished.result) == f"<Result of 'face.png': {finished.result.finding}>"
    assert repr(finished.result.picture) == "<Picture 'face.png', 120 x 90 px>"


scores = st.one_of(st.none(), st.floats(0, 1))


@given(score=scores, threshold=st.floats(0, 1), masked=st.booleans())
def test_no_finding_claims_more_than_was_measured(
    result: Result, score: float | None, threshold: float, masked: bool
) -> None:
    changed = dataclasses.replace(
        result,
        score=score,
        score_threshold=None if score is None else threshold,
        probabilities=np.full((4, 4), float(masked), np.float32),
    )
    finding = changed.finding
    assert not CLAIMS.search(finding)
    assert ("the mask is empty" in finding) == (not masked)
    assert changed.to_dict()["suspected"] is (None if score is None else score >= threshold)
    if score is None:
        assert "no overall score" in finding
    elif score >= threshold:
        assert finding.startswith("Manipulation suspected (score ")
    else:
        assert finding.startswith("Weak signs only" if masked else "No manipulation found")
        assert f"below the threshold of {threshold:.2f}" in finding


def test_the_model_s_limits_are_among_the_warnings(result: Result) -> None:
    warnings: list[Any] = result.to_dict()["warnings"]
    assert any("an empty mask does not mean" in warning for warning in warnings)


def test_nothing_that_ftsdk_says_calls_a_picture_real() -> None:
    said = [path for path in (REPOSITORY / "sdk").rglob("*") if path.suffix in WRITTEN]
    said += [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]
    assert {path.suffix for path in said} == WRITTEN
    for path in said:
        words = re.sub(r"\W+", " ", path.read_text(encoding="utf-8"))
        assert not CLAIMS.search(words), path
