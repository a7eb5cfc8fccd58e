"""INT8 ranges: what a histogram says, and when ranges are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ft_calibration.ranges import (
    Histogram,
    Range,
    Ranges,
    Rule,
    StageRanges,
    calibration_pictures,
    data_sha256,
    read_ranges,
    write_ranges,
)
from ftsdk.errors import DataNotFoundError, RangesError

RULES: tuple[Rule, ...] = ("minmax", "percentile", "entropy")
GRAPH, OTHER, DATA = "a" * 64, "b" * 64, "c" * 64


def observed(*values: np.ndarray) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def rounded(values: np.ndarray, limit: float) -> np.ndarray:
    step = limit / 127
    return np.clip(np.round(values / step), -127, 127) * step


@settings(max_examples=25)
@given(
    st.lists(arrays(np.float32, 8, elements=st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=5)
)
def test_no_limit_exceeds_the_largest_magnitude(values: list[np.ndarray]) -> None:
    histogram = observed(*values)
    peak = max(float(np.abs(value).max()) for value in values)
    assert histogram.limit("minmax") == pytest.approx(peak)
    for rule in RULES:
        assert 0 <= histogram.limit(rule) <= peak * (1 + 1e-6)


def test_the_order_of_growing_values_does_not_matter() -> None:
    values = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    rising = values[np.argsort(np.abs(values))].reshape(16, -1)
    falling = rising[::-1]
    for rule in RULES:
        assert observed(*rising).limit(rule) == pytest.approx(
            observed(*falling).limit(rule), rel=0.05
        )


def test_a_single_outlier_moves_minmax_and_not_the_others() -> None:
    values = np.random.default_rng(1).standard_normal(200_000).astype(np.float32)
    values[7] = 400.0
    histogram = observed(values)
    assert histogram.limit("minmax") == 400.0
    assert histogram.limit("percentile") < 8
    assert histogram.limit("entropy") < 60


def test_the_noise_is_what_rounding_really_costs() -> None:
    values = np.random.default_rng(2).standard_normal(100_000).astype(np.float32)
    histogram = observed(values)
    for limit in (2.0, 4.0):
        cost = np.sum((rounded(values, limit) - values) ** 2) / np.sum(values**2)
        assert histogram.noise(limit) == pytest.approx(cost, rel=0.1)


def test_a_tensor_of_zeros_has_no_range() -> None:
    histogram = observed(np.zeros(10, np.float32))
    assert [histogram.limit(rule) for rule in RULES] == [0, 0, 0]
    assert histogram.noise(0.0) == 0


@pytest.fixture
def ranges() -> Ranges:
    stage = StageRanges(graph_sha256=GRAPH, tensors={"x": Range(limit=2.0, noise=0.001)})
    return Ranges(rule="minmax", pictures=4, data_sha256=DATA, stages={"vision_encoder": stage})


def test_ranges_are_read_as_they_were_written(ranges: Ranges, tmp_path: Path) -> None:
    path = tmp_path / "calibration" / "ranges.json"
    write_ranges(path, ranges)
    assert read_ranges(path) == ranges
    assert read_ranges(path).of_graph("vision_encoder", GRAPH)["x"].limit == 2.0


def test_stale_ranges_are_refused(ranges: Ranges) -> None:
    for stage, sha256 in (("vision_encoder", OTHER), ("qformer", GRAPH)):
        with pytest.raises(RangesError) as caught:
            ranges.of_graph(stage, sha256)
        assert stage in caught.value.what
        assert "--calibration" in caught.value.cure
    ranges.require_pictures(DATA)
    with pytest.raises(RangesError):
        ranges.require_pictures(OTHER)


@pytest.mark.parametrize(
    "change",
    [{"rule": "best"}, {"ranges_version": 2}, {"pictures": 0}, {"data_sha256": "?"}, {"more": 1}],
)
def test_what_is_no_ranges_file_is_refused(
    ranges: Ranges, tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "ranges.json"
    with pytest.raises(RangesError):
        read_ranges(path)
    path.write_text(json.dumps(json.loads(ranges.model_dump_json()) | change), encoding="utf-8")
    with pytest.raises(RangesError, match=next(iter(change))):
        read_ranges(path)


def test_pictures_are_spread_over_the_folder_and_hashed_by_content(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError):
        calibration_pictures(tmp_path, 4)
    for index in range(10):
        (tmp_path / f"{index}.png").write_bytes(bytes([index]))
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    (tmp_path / "9.png").rename(tmp_path / "9.HEIC")
    chosen = calibration_pictures(tmp_path, 5)
    assert [path.stem for path in chosen] == ["0", "2", "4", "6", "8"]
    assert len(calibration_pictures(tmp_path, 100)) == 10
    before = data_sha256(chosen)
    (tmp_path / "2.png").rename(tmp_path / "3.png")
    assert data_sha256([tmp_path / f"{index}.png" for index in (0, 3, 4, 6, 8)]) == before
    (tmp_path / "8.png").write_bytes(b"another")
    assert data_sha256([tmp_path / f"{index}.png" for index in (0, 3, 4, 6, 8)]) != before


def test_a_forged_data_set_gives_its_pictures_and_not_its_masks(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(folder.encode())
    record = {
        "image_id": 1,
        "instance_id": 1,
        "img_path": "images/1.png",
        "mask_path": "masks/1.png",
    }
    (tmp_path / "annotations.json").write_text(json.dumps([record]), encoding="utf-8")
    assert calibration_pictures(tmp_path, 9) == [tmp_path / "images" / "1.png"]
