"""What `Result.save` and `Result.to_html` write, by whoever calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from raising import raised

import ftsdk
from ftsdk.errors import OutputError, OverwriteError
from ftsdk.imaging.decode import decode

PORTRAIT = REPOSITORY / "examples/pictures/portrait.jpg"


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return decode(PORTRAIT).pixels


def analyzed(image: object) -> ftsdk.Result:
    return ftsdk.analyze(image, device="cpu", report=False)


def test_every_picture_without_a_name_is_saved_under_its_own(
    pixels: np.ndarray, tmp_path: Path
) -> None:
    images = [pixels, pixels[::-1].copy(), PORTRAIT.read_bytes()]
    results = [analyzed(image) for image in images]
    for result in results:
        result.save(tmp_path)
    saved = [json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.glob("*.json")]
    digests = {result.picture.sha256 for result in results}
    assert {answer["picture"]["sha256"] for answer in saved} == digests
    assert len(digests) == 3
    assert len([*tmp_path.iterdir()]) == 12


def test_the_analysed_file_is_not_replaced(tmp_path: Path) -> None:
    evidence = Path(shutil.copy(PORTRAIT, tmp_path / "evidence.json"))
    result = analyzed(evidence)
    raised(OverwriteError, lambda: result.save(tmp_path))
    raised(OverwriteError, lambda: result.to_html(evidence))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [PORTRAIT.read_bytes()]


def test_of_an_answer_all_files_are_new_or_none(pixels: np.ndarray, tmp_path: Path) -> None:
    result = analyzed(pixels)
    (tmp_path / "x.json").mkdir()  # the last file's place is taken
    before = tmp_path / "x.overlay.png"
    before.write_bytes(b"before")
    raised(OutputError, lambda: result.save(tmp_path, "x"))
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", "x.overlay.png"}
    assert before.read_bytes() == b"before"
