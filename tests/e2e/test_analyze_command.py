"""`ft-analyze` from the outside: what it prints, writes, and exits with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from ftsdk.analyzer import Analyzer
from ftsdk.cli.analyze import app


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"not a picture")
    return path


def run(bundle: Path, *arguments: str | Path) -> Result:
    options = ["--bundle", str(bundle), "--device", "cpu"]
    return CliRunner().invoke(app, [*map(str, arguments), *options])


def lines(done: Result) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_answer_is_printed(mini: Analyzer, mini_bundle: Path, face: Path) -> None:
    done, expected = run(mini_bundle, face), mini.analyze(face)
    assert done.exit_code == 0, done.output
    assert str(face) in done.stdout
    assert expected.report is not None
    assert expected.report in done.stdout
    assert expected.finding in done.stdout
    for region in expected.regions:
        assert region.name in done.stdout
        assert f"{region.probability:.2f}" in done.stdout
    assert "mini on cpu" in done.stdout
    assert done.stderr == ""


def test_one_bad_file_among_good_ones_is_reported_and_the_rest_goes_on(
    mini_bundle: Path, face: Path, bad: Path
) -> None:
    done = run(mini_bundle, face, bad, bad.parent / "nowhere.png", bad.parent, face, "--no-report")
    assert done.exit_code == 1
    assert done.stdout.count("mini on cpu") == 2
    for name in (bad.name, "nowhere.png"):
        assert name in done.stderr
    assert done.stderr.count("cure") == 3
    assert "Traceback" not in done.output


def test_json_is_one_object_a_picture_and_nothing_else(
    mini: Analyzer, mini_bundle: Path, face: Path, bad: Path
) -> None:
    done = run(mini_bundle, "--json", face, bad, face)
    assert done.exit_code == 1
    first, failure, second = lines(done)
    expected = mini.analyze(face)
    assert first["report"] == second["report"] == expected.report
    assert set(first) == set(expected.to_dict())
    assert failure["schema_version"] == first["schema_version"] == 1
    assert failure["picture"]["name"] == str(bad)
    assert failure["error"]["class"] == "ImageFormatError"
    assert all(failure["error"][part] for part in ("what", "expected", "found", "cure"))
    assert done.stderr == ""


def test_no_report_stops_at_the_mask(mini_bundle: Path, face: Path) -> None:
    (answer,) = lines(run(mini_bundle, "--json", "--no-report", face))
    assert answer["report"] is None
    assert "language_decoder" not in answer["timings_ms"]


def test_regions_are_used_in_place_of_the_model_s(mini_bundle: Path, face: Path) -> None:
    (answer,) = lines(run(mini_bundle, "--json", face, "--regions", " nose, lip "))
    assert [region["name"] for region in answer["regions"]] == ["lip", "nose"]
    assert answer["corrections"] == ["regions"]


def test_beams_are_used(mini_bundle: Path, parity: Path) -> None:
    case = json.loads((parity / "expected/cases.json").read_text(encoding="utf-8"))[0]
    picture = parity / "expected" / case["image"]
    (answer,) = lines(run(mini_bundle, "--json", picture, "--beams", "5"))
    assert answer["report"] == case["beam5"]


def test_saved_files_do_not_overwrite_one_another(
    mini_bundle: Path, face: Path, tmp_path: Path
) -> None:
    names = ["a/face.png", "b/face.png", "face-2.png", "face.PNG"]
    pictures = [tmp_path / name for name in names]
    for picture in pictures:
        picture.parent.mkdir(exist_ok=True)
        shutil.copy(face, picture)
    out = tmp_path / "out"
    done = run(mini_bundle, *pictures, "--no-report", "--save", out)
    assert done.exit_code == 0, done.output
    assert len(list(out.iterdir())) == 4 * len(pictures)
    named = {json.loads(path.read_text())["picture"]["name"] for path in out.glob("*.json")}
    assert named == {"face.png", "face-2.png", "face.PNG"}
    mask = cv2.imread(str(out / "face.mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (90, 120)
    assert set(np.unique(mask)) <= {0, 255}
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_place_that_cannot_be_written_is_reported(
    mini_bundle: Path, face: Path, bad: Path
) -> None:
    done = run(mini_bundle, face, "--no-report", "--save", bad / "folder")
    assert done.exit_code == 1
    assert "cannot save" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--no-such-option", "face.jpg"],
        ["face.jpg", "--beams", "0"],
        ["face.jpg", "--beams", "many"],
        ["face.jpg", "--regions", "snout"],
        ["face.jpg", "--device", "gpu0"],
    ],
)
def test_wrong_use_is_code_2(mini_bundle: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["--bundle", str(mini_bundle), *arguments])
    assert done.exit_code == 2
    assert done.stderr
    assert done.stdout == ""


def test_a_bundle_that_is_not_there_is_code_1(tmp_path: Path, face: Path) -> None:
    done = run(tmp_path, face, "--json")
    assert done.exit_code == 1
    assert "ft-export" in done.stderr
    assert done.stdout == ""


def test_help_has_an_example() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    assert "Examples: ft-analyze face.jpg" in " ".join(done.stdout.split())
    for option in (
        "--bundle",
        "--device",
        "--regions",
        "--beams",
        "--no-report",
        "--save",
        "--json",
    ):
        assert option in done.stdout


def test_names_that_look_like_markup_are_printed_as_they_are(
    mini_bundle: Path, face: Path, tmp_path: Path
) -> None:
    picture = shutil.copy(face, tmp_path / "[bold]face.png")
    done = run(mini_bundle, picture, tmp_path / "[red]gone.png", "--no-report")
    assert "[bold]face.png" in done.stdout
    assert "[red]gone.png" in done.stderr


def test_the_installed_command_runs(mini_bundle: Path, face: Path) -> None:
    command = Path(sys.executable).with_name("ft-analyze")
    if not command.exists():
        pytest.skip("ft-analyze is not installed beside this Python")
    done = subprocess.run(
        [command, face, "--bundle", mini_bundle, "--device", "cpu", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["provenance"]["bundle"] == "mini"
