"""`ft-analyze` from the outside: what it prints, writes, and exits with."""

from __future__ import annotations

import json
import os
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
from ftsdk.text import name_of, visible


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
    assert failure["schema_version"] == first["schema_version"] == 2
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


def test_a_picture_is_read_from_a_pipe(
    mini: Analyzer, mini_bundle: Path, face: Path, tmp_path: Path
) -> None:
    options = ["--bundle", str(mini_bundle), "--device", "cpu", "--no-report"]
    arguments = [*options, "--save", str(tmp_path), "--report", str(tmp_path / "report.html"), "-"]
    done = CliRunner().invoke(app, arguments, input=face.read_bytes())
    assert done.exit_code == 0, done.output
    assert mini.analyze(face, report=False).finding in done.stdout
    saved = json.loads((tmp_path / "stdin.json").read_text(encoding="utf-8"))
    assert saved["picture"]["name"] == "stdin"
    assert saved["picture"]["sha256"] == mini.analyze(face, report=False).picture.sha256
    assert "stdin" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("options", ["", "--no-report --save ."])
def test_a_file_named_as_a_pipe_is_one(face: Path, tmp_path: Path, options: str) -> None:
    (tmp_path / "-").write_bytes(face.read_bytes())
    program = "from ftsdk.cli.analyze import main; main()"
    command = f'"{sys.executable}" -c "{program}" ./- {options} </dev/null'
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "-")


@pytest.mark.parametrize("pipe", ["</dev/null", "<&-"])
def test_a_pipe_with_nothing_in_it_is_an_error(pipe: str) -> None:
    command = f'"{sys.executable}" -c "from ftsdk.cli.analyze import main; main()" - {pipe}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "no bytes at all" in done.stderr


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


#: What a process sees in an ASCII locale, and in one that is no UTF-8.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def installed(name: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a user does, in a process of its own."""
    command = f"from ftsdk.cli.{name} import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, *map(os.fspath, arguments)],
        capture_output=True, timeout=120, check=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize("locale", [ASCII, {"LC_ALL": "C.UTF-8"}, {"PYTHONIOENCODING": "latin-1"}])
def test_every_file_name_is_printed_and_saved(
    face: Path, tmp_path: Path, locale: dict[str, str]
) -> None:
    names = [b"caf\xe9.png", "café 写.png".encode(), b"\x1b[2J\x9b\n.png"]
    pictures = [tmp_path / os.fsdecode(name) for name in names]
    for picture in pictures:
        shutil.copy(face, picture)
    saved, environment = tmp_path / "saved", {**os.environ, **locale}
    nowhere = tmp_path / os.fsdecode(b"gone\xe9\x1b")
    common = (*pictures, nowhere, "--no-report", "--save", saved)
    done = installed("analyze", *common, env=environment)
    assert done.returncode == 1
    assert done.stderr.count(b"cure") == 1
    assert rb"gone\xe9\x1b" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert len([*saved.iterdir()]) == 4 * len(names)
    done = installed("analyze", *common, "--json", env=environment)
    answers = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    shown = [visible(name_of(picture.name)) for picture in pictures]
    assert [answer["picture"]["name"] for answer in answers[:3]] == shown


def test_a_report_on_a_name_that_is_no_utf_8_is_written(face: Path, tmp_path: Path) -> None:
    picture, report = tmp_path / os.fsdecode(b"caf\xe9.png"), tmp_path / "report.html"
    shutil.copy(face, picture)
    arguments = [os.fspath(picture), "--no-report", "--report", str(report)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert r"caf\xe9.png" in report.read_text(encoding="utf-8")


def test_a_reader_that_leaves_ends_the_command_without_a_word(face: Path) -> None:
    arguments = [str(face)] * 200 + ["--json", "--no-report"]
    command = "from ftsdk.cli.analyze import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith(b"{")
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 1


def test_evidence_is_not_replaced_by_its_own_report(face: Path, tmp_path: Path) -> None:
    picture, link = tmp_path / "face.json", tmp_path / "link.html"
    shutil.copy(face, picture)
    link.symlink_to(picture)
    for target in (picture, link):
        done = CliRunner().invoke(app, [str(picture), "--no-report", "--report", str(target)])
        assert done.exit_code == 2
        assert "would replace" in done.stderr
    done = CliRunner().invoke(app, [str(picture), "--no-report", "--save", str(tmp_path)])
    assert done.exit_code == 1
    assert "would replace" in done.stderr
    assert picture.read_bytes() == face.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"face.json", "link.html"}


def test_an_answer_does_not_replace_a_picture_that_is_still_to_come(
    face: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "a.png", tmp_path / "a.overlay.png"
    for picture in pictures:
        shutil.copy(face, picture)
    arguments = [*map(str, pictures), "--no-report", "--save", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    assert pictures[1].read_bytes() == face.read_bytes()
