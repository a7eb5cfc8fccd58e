"""What the word `nano` means where a bundle is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

import ftsdk
from ftsdk.cli import analyze, batch, doctor
from ftsdk.embedded import NANO_SHA256
from ftsdk.errors import BundleNotFoundError
from ftsdk.trust import NANO, BundleName


@pytest.fixture
def beside_nano(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a directory called nano, which is no bundle."""
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_word_is_the_model_in_the_package() -> None:
    assert BundleName.of("nano") == BundleName.of(None) == BundleName(NANO, NANO_SHA256)
    for other in ("./nano", "a/nano", "nano/", "Nano", Path("nano")):
        assert BundleName.of(other) == BundleName(Path(other))


@pytest.mark.usefixtures("beside_nano")
def test_an_analyzer_takes_the_word(face: Path) -> None:
    with ftsdk.Analyzer("nano", device="cpu") as analyzer:
        assert analyzer.bundle.path == NANO
    assert ftsdk.analyze(face, bundle="nano", report=False).provenance.bundle == "nano"
    for directory in ("./nano", Path("nano")):
        with pytest.raises(BundleNotFoundError):
            ftsdk.Analyzer(directory)


@pytest.mark.usefixtures("beside_nano")
@pytest.mark.parametrize("app", [analyze.app, batch.app], ids=["ft-analyze", "ft-batch"])
def test_a_command_takes_the_word(app: Typer, face: Path, tmp_path: Path) -> None:
    given = [str(face)]
    if app is batch.app:
        given = [str(face.parent), "--out", str(tmp_path / "a.jsonl")]
    for word, code in (("./nano", 1), ("nano", 0)):
        done = CliRunner().invoke(app, [*given, "--no-report", "--bundle", word])
        assert done.exit_code == code, done.output


def test_engines_of_the_word_are_those_beside_the_package() -> None:
    done = CliRunner().invoke(doctor.app, ["--clear-engines", "--bundle", "nano", "--json"])
    assert Path(json.loads(done.stdout)["folder"]).parent == NANO.parent


def test_help_says_how_to_reach_a_directory_of_that_name() -> None:
    printed = CliRunner().invoke(doctor.app, ["--help"], terminal_width=200).stdout
    assert "./nano is a directory" in printed
    assert "[default: (nano)]" in printed
