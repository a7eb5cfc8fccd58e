from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from ft_forge import LABELS, FaceSet, Forge
from ft_forge.cli import app
from tests.unit.forge.forge_faces import SIDE, write_faces

runner = CliRunner()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder)
    return folder


def test_a_data_set_in_mmtt_format_with_a_contact_sheet(faces: Path, tmp_path: Path) -> None:
    out, sheet = tmp_path / "set", tmp_path / "sheet.png"
    arguments = [str(faces), str(out), "--count", "6", "--split", "all", "--sheet", str(sheet)]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    records = json.loads((out / "annotations.json").read_text())
    assert len(records) == 6
    for record in records:
        image = cv2.imread(str(out / record["img_path"]))
        mask = cv2.imread(str(out / record["mask_path"]), cv2.IMREAD_GRAYSCALE)
        assert image.shape == (SIDE, SIDE, 3)
        assert set(mask.ravel().tolist()) <= {0, 255}
        assert len(record["multilabel"]) == len(LABELS)
        assert mask.any() == (record["attribute"] != "untouched")
        assert record["caption"].endswith(".")
    assert cv2.imread(str(sheet)) is not None


@pytest.mark.parametrize("families", ["inpainting,untouched", "reprocessing", "healing,untouched"])
def test_only_the_families_asked_for(faces: Path, tmp_path: Path, families: str) -> None:
    arguments = [str(faces), str(tmp_path), "--count", "8", "--split", "all"]
    result = runner.invoke(app, [*arguments, "--families", families])
    assert result.exit_code == 0, result.output
    records = json.loads((tmp_path / "annotations.json").read_text())
    assert {record["attribute"] for record in records} <= set(families.split(","))
    assert all(record["caption"].endswith(".") for record in records)


def test_without_harm_pictures_stay_as_they_were_made(faces: Path, tmp_path: Path) -> None:
    arguments = [str(faces), str(tmp_path), "--count", "3", "--split", "all", "--harm", "0"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    folder = FaceSet(faces)
    forge = Forge(folder, folder.entries)
    for index in range(3):
        saved = cv2.imread(str(tmp_path / "images" / f"{index:06d}.png"))
        assert np.array_equal(saved, forge.make(index).image)


def test_wrong_use_and_missing_faces_have_their_exit_codes(faces: Path, tmp_path: Path) -> None:
    wrong = runner.invoke(app, [str(faces), str(tmp_path), "--families", "teleport"])
    assert wrong.exit_code == 2
    assert "teleport" in wrong.output
    assert runner.invoke(app, [str(tmp_path), str(tmp_path / "out")]).exit_code == 1


@pytest.mark.parametrize(
    ("out", "sheet", "code"), [("file", "s.png", 1), ("set", "no/s.png", 1), ("set", "s.jpg", 2)]
)
def test_what_cannot_be_written_is_an_error(
    faces: Path, tmp_path: Path, out: str, sheet: str, code: int
) -> None:
    (tmp_path / "file").write_bytes(b"")
    arguments = [str(faces), str(tmp_path / out), "--count", "1", "--split", "all"]
    done = runner.invoke(app, [*arguments, "--sheet", str(tmp_path / sheet)])
    assert done.exit_code == code
    assert "cure" in done.stderr
    assert not (tmp_path / sheet).exists()


def test_help_has_an_example() -> None:
    assert "ft-forge faces/" in runner.invoke(app, ["--help"]).output
