"""MMTT folders in every shape that is read, and the errors for the others."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_forge.mmtt import MmttData
from ftsdk.errors import (
    DataNotFoundError,
    ImageNotFoundError,
    InputError,
    OptionError,
    RecordError,
)
from ftsdk.imaging.encode import write_png

TRUTH = np.zeros((20, 30), bool)
TRUTH[5:9, 4:12] = True


def _entry(name: str = "0", **fields: Any) -> dict[str, Any]:
    plain = {"image_id": name, "instance_id": 0, "img_path": f"images/{name}.png"}
    return {**plain, "mask_path": f"masks/{name}.png", **fields}


def _write(
    folder: Path, *entries: dict[str, Any], lines: bool = False, name: str = "annotations.json"
) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(json.dumps, entries)) if lines else json.dumps(entries)
    file.write_text(text, encoding="utf-8")
    return file


def _masked(folder: Path, levels: np.ndarray, suffix: str = ".png") -> np.ndarray | None:
    """Read `levels` back through a data set whose only mask they are."""
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / f"masks/0{suffix}"), levels)
    _write(folder, _entry(mask_path=f"masks/0{suffix}"))
    data = MmttData(folder)
    return data.mask(data.records[0])


@pytest.mark.parametrize("lines", [False, True])
def test_a_list_and_lines_read_the_same(tmp_path: Path, lines: bool) -> None:
    bits = [0, 1] * 10 + [0]
    entries = [
        _entry("0", caption="The nose.", multilabel=bits, attribute="face_swap", more="ignored"),
        _entry("1", image_id=17, instance_id="a", mask_path=None),
    ]
    _write(tmp_path, *entries, lines=lines)
    first, second = MmttData(tmp_path).records
    assert (first.caption, first.multilabel, first.attribute) == ("The nose.", bits, "face_swap")
    assert (second.image_id, second.multilabel, second.attribute) == (17, None, None)
    assert second.caption == ""


@pytest.mark.parametrize("value", [1, 127, 255])
def test_a_mask_may_have_any_two_values(tmp_path: Path, value: int) -> None:
    mask = _masked(tmp_path, TRUTH.astype(np.uint8) * value)
    assert mask is not None
    assert (mask == TRUTH).all()


def test_a_coloured_mask_and_a_compressed_one(tmp_path: Path) -> None:
    red = np.zeros((*TRUTH.shape, 3), np.uint8)
    red[TRUTH] = (0, 0, 200)
    mask = _masked(tmp_path, red)
    assert mask is not None
    assert (mask == TRUTH).all()
    compressed = _masked(tmp_path, TRUTH.astype(np.uint8) * 255, ".jpg")
    assert compressed is not None
    assert (compressed != TRUTH).mean() < 0.02


def test_a_soft_mask_is_cut_at_half_of_its_brightest(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (20, 1))
    mask = _masked(tmp_path, ramp)
    assert mask is not None
    assert (mask == (ramp > 95)).all()


def test_untouched_is_a_black_mask_or_none(tmp_path: Path) -> None:
    assert _masked(tmp_path, np.zeros((20, 20), np.uint8)) is None
    _write(tmp_path, _entry(mask_path=None), _entry(mask_path=""))
    data = MmttData(tmp_path)
    assert [data.mask(record) for record in data.records] == [None, None]


def test_a_mask_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path, _entry())
    data = MmttData(tmp_path)
    with pytest.raises(ImageNotFoundError):
        data.mask(data.records[0])


def test_a_mask_that_does_not_decode_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/0.png").write_bytes(b"not a picture")
    _write(tmp_path, _entry())
    data = MmttData(tmp_path)
    with pytest.raises(InputError):
        data.mask(data.records[0])


@pytest.mark.parametrize("name", ["test.json", "labels/test.json", "labels/test.jsonl"])
@pytest.mark.parametrize("by_file", [False, True])
def test_paths_are_relative_to_the_record_file_or_the_folder(
    tmp_path: Path, name: str, by_file: bool
) -> None:
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images/0.png", np.full((20, 20, 3), 9, np.uint8))
    file = _write(tmp_path, _entry(), name=name)
    data = MmttData(file if by_file else tmp_path)
    assert data.record_file == file
    assert data.picture(data.records[0]).height == 20


def test_several_record_files_must_be_chosen_from(tmp_path: Path) -> None:
    _write(tmp_path, _entry(), name="val.json")
    test = _write(tmp_path, _entry("1"), name="test.json")
    with pytest.raises(DataNotFoundError, match=r"test\.json, val\.json"):
        MmttData(tmp_path)
    assert MmttData(test).records[0].image_id == "1"


def test_no_record_file(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="no such file"):
        MmttData(tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "none"),
        ("[]", "none"),
        ("{", "Expecting"),
        ("[1]", "dictionary"),
        ('[{"image_id": 1, "instance_id": 1}]', "img_path"),
        ('[{"image_id": 1, "instance_id": 1, "img_path": "a", "multilabel": [2]}]', "multilabel"),
    ],
)
def test_a_file_that_holds_no_records(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(RecordError, match=found):
        MmttData(tmp_path)


def test_a_pipe_in_the_place_of_records_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "annotations.json")
    with pytest.raises(RecordError, match="regular"):
        MmttData(tmp_path / "annotations.json", 1)


def test_a_limit_below_one_is_wrong_use(tmp_path: Path) -> None:
    _write(tmp_path, _entry())
    with pytest.raises(OptionError):
        MmttData(tmp_path, 0)


@given(count=st.integers(1, 40), limit=st.integers(1, 50))
def test_a_limit_spreads_over_the_file(
    tmp_path_factory: pytest.TempPathFactory, count: int, limit: int
) -> None:
    folder = tmp_path_factory.mktemp("limit")
    _write(folder, *(_entry(image_id=index) for index in range(count)))
    names = [int(record.image_id) for record in MmttData(folder, limit).records]
    assert len(names) == min(count, limit)
    gaps = np.diff([*names, count])
    assert set(gaps.tolist()) <= {count // len(names), count // len(names) + 1}
