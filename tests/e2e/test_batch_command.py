"""`ft-batch` from the outside: a row for every file, one writer, and exit codes that tell."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import REPOSITORY
from typer.testing import CliRunner

from ftsdk.cli import batch
from ftsdk.text import name_of

PORTRAIT = REPOSITORY / "examples/pictures/portrait.jpg"
FORGED = REPOSITORY / "examples/pictures/portrait_forged.jpg"
#: So many that a run is not over before the test has done what ends it.
MANY = 2000
COMMAND = [sys.executable, "-c", "from ftsdk.cli.batch import main; main()"]
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(batch.app, [*map(str, arguments), "--no-report"])


def counted(*arguments: object) -> tuple[int, dict[str, int]]:
    """Return the exit code and the counts that are not zero."""
    done = run(*arguments, "--json")
    said = json.loads(done.stdout)
    pictures = said["answered"] + said["failed"]
    assert (said.pop("pictures_per_second") > 0) == (pictures > 0)
    return done.exit_code, {kind: n for kind, n in said.items() if n}


def rows(answers: Path) -> dict[str, Any]:
    """Return every row by its file, of which none may come twice."""
    read = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    by_file = {row["file"]: row for row in read}
    assert len(by_file) == len(read)
    return by_file


def test_a_batch_goes_on_where_it_was_killed(folder: Path, answers: Path) -> None:
    (folder / "sub").mkdir()
    for name in ("a.jpg", "sub/c.jpg"):
        (folder / name).symlink_to(PORTRAIT)
    (folder / "b.jpg").write_bytes(b"nothing")
    assert counted(folder, "--out", answers) == (1, {"answered": 2, "failed": 1})
    whole = answers.read_bytes()
    answers.write_bytes(whole[:-40])  # as a kill in mid-line leaves it
    expected = {"answered": 1, "answered_before": 1, "failed_before": 1}
    assert counted(folder, "--out", answers) == (1, expected)
    assert [*rows(answers)] == ["a.jpg", "b.jpg", "sub/c.jpg"]
    assert rows(answers)["b.jpg"]["error"]["class"] == "ImageFormatError"
    assert rows(answers)["sub/c.jpg"]["finding"] == rows(answers)["a.jpg"]["finding"]


def test_where_no_terminal_is_nothing_is_drawn(folder: Path, answers: Path) -> None:
    (folder / "a.jpg").symlink_to(PORTRAIT)
    done = run(folder, "--out", answers)
    assert (done.exit_code, done.stderr) == (0, "")


def test_every_file_is_answered_failed_or_left_out_and_the_summary_tells(
    folder: Path, answers: Path
) -> None:
    for name, source in {"IMG_1.HEIC": FORGED, "photo.tiff": PORTRAIT, "noext": PORTRAIT}.items():
        shutil.copy(source, folder / name)
    (folder / "broken.jpg").write_bytes(PORTRAIT.read_bytes()[:3000])
    (folder / "notes.txt").write_text("notes", encoding="utf-8")
    (folder / "linked").symlink_to(folder.parent)
    done = run(folder, "--out", answers)
    assert done.exit_code == 1
    assert "3 answered (1 suspected, 0 cannot tell), 1 failed, 2 left out" in done.stdout
    assert "broken.jpg" in done.stderr
    assert "left out linked" in done.stderr
    assert {*rows(answers)} == {
        "IMG_1.HEIC", "photo.tiff", "noext", "broken.jpg", "notes.txt", "linked",
    }  # fmt: skip
    assert rows(answers)["IMG_1.HEIC"]["score"] > 0.9
    assert rows(answers)["broken.jpg"]["error"]["class"] == "ImageTruncatedError"
    assert rows(answers)["notes.txt"]["left_out"]


def test_failures_count_until_a_retry_has_success(folder: Path, answers: Path) -> None:
    listed = folder / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbfa.jpg\r\nlate.jpg\r\n")
    shutil.copy(PORTRAIT, folder / "a.jpg")
    assert counted(listed, "--out", answers) == (1, {"answered": 1, "failed": 1})
    assert counted(listed, "--out", answers, "--retry")[0] == 1
    shutil.copy(PORTRAIT, folder / "late.jpg")
    again = {"answered_before": 1, "failed_before": 1}
    assert counted(listed, "--out", answers) == (1, again)
    assert "--retry" in run(listed, "--out", answers).stdout
    expected = {"answered": 1, "answered_before": 1}
    assert counted(listed, "--out", answers, "--retry") == (0, expected)
    assert counted(listed, "--out", answers) == (0, {"answered_before": 2})
    assert {*rows(answers)} == {"a.jpg", "late.jpg"}


def test_a_retry_keeps_the_row_of_a_failure_that_is_gone(folder: Path, answers: Path) -> None:
    for name in ("bad.jpg", "gone.jpg"):
        (folder / name).write_bytes(b"nothing")
    assert counted(folder, "--out", answers) == (1, {"failed": 2})
    (folder / "gone.jpg").unlink()
    shutil.copy(PORTRAIT, folder / "bad.jpg")
    expected = {"answered": 1, "failed_before": 1}
    assert counted(folder, "--out", answers, "--retry") == (1, expected)
    assert rows(answers)["gone.jpg"]["error"]["class"] == "ImageFormatError"


def test_a_batch_reads_a_list_and_writes_reports(tmp_path: Path, answers: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{PORTRAIT}\n\n", encoding="utf-8")
    done = CliRunner().invoke(batch.app, [str(listed), "--out", str(answers)])
    assert done.exit_code == 0, done.output
    assert rows(answers)[str(PORTRAIT)]["report"]


@pytest.mark.parametrize(
    ("pictures", "out"),
    [
        ("in", "."), ("in", "no/such/o.jsonl"), ("in", "in/a.jpg"), ("in/a.jpg", "o.jsonl"),
        ("list.txt", "list.txt"), ("gone", "o.jsonl"), ("in", "notes.txt"),
    ],
)  # fmt: skip
def test_wrong_use_exits_with_2_and_touches_nothing(
    folder: Path, tmp_path: Path, pictures: str, out: str
) -> None:
    shutil.copy(PORTRAIT, folder / "a.jpg")
    (tmp_path / "list.txt").write_text("in/a.jpg", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = run(tmp_path / pictures, "--out", tmp_path / out)
    assert done.exit_code == 2, done.output
    assert "cure" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_a_second_run_on_the_same_output_is_refused(folder: Path, answers: Path) -> None:
    from ftsdk.batch.books import open_book

    shutil.copy(PORTRAIT, folder / "a.jpg")
    with open_book(answers, str(folder)):
        done = run(folder, "--out", answers)
    assert done.exit_code == 1
    assert "another run" in done.stderr
    assert answers.read_bytes() == b""


def test_another_folder_on_the_same_output_is_refused(folder: Path, tmp_path: Path) -> None:
    other, answers = tmp_path / "other", tmp_path / "answers.jsonl"
    other.mkdir()
    for place in (folder, other):
        (place / "a.txt").write_text("no picture", encoding="utf-8")
    assert counted(folder, "--out", answers) == (0, {"left_out": 1})
    before = answers.read_bytes()
    done = run(other, "--out", answers)
    assert done.exit_code == 2
    assert "another folder" in done.stderr
    assert answers.read_bytes() == before
    assert rows(answers)["a.txt"]["folder"] == str(folder.resolve())
    assert counted(folder, "--out", answers) == (0, {"left_out_before": 1})


@pytest.mark.parametrize("locale", [ASCII, {"LC_ALL": "C.UTF-8"}])
def test_every_file_name_has_its_row_once(
    folder: Path, answers: Path, locale: dict[str, str]
) -> None:
    names = [b"caf\xe9.jpg", "café.jpg".encode(), b"\x1b[2J\n.jpg", rb"caf\xe9.jpg"]
    for name in names:
        shutil.copy(PORTRAIT, folder / os.fsdecode(name))
    (folder / os.fsdecode(b"\xff.txt")).touch()
    listed = folder.parent / "list.txt"
    listed.write_bytes(b"".join(b"in/%s\n" % name for name in names if b"\n" not in name))
    environment = {**os.environ, **locale}
    of_list = folder.parent / "of_list.jsonl"
    for pictures, out, count in ((folder, answers, 5), (folder, answers, 5), (listed, of_list, 3)):
        done = subprocess.run(
            [*COMMAND, pictures, "--out", out, "--no-report"],
            env=environment, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"\x1b[2J" not in done.stdout + done.stderr + out.read_bytes()
        assert len(out.read_bytes().splitlines()) == count
    lines = (answers.read_bytes() + of_list.read_bytes()).splitlines()
    read = [json.loads(line) for line in lines]
    plain = {row["file"] for row in read if "file_bytes" not in row}
    assert {name_of(os.fsdecode(name)) for name in names[1:]} <= plain
    assert {bytes.fromhex(row["file_bytes"]) for row in read if "file_bytes" in row} == {
        b"caf\xe9.jpg", b"\xff.txt", b"in/caf\xe9.jpg",
    }  # fmt: skip


@pytest.mark.parametrize("out", ["-", "/dev/stdout"])
def test_rows_go_to_standard_output_and_nothing_else(folder: Path, out: str) -> None:
    shutil.copy(PORTRAIT, folder / "a.jpg")
    arguments = [*COMMAND, folder, "--out", out, "--no-report", "--json"]
    done = subprocess.run(arguments, capture_output=True, timeout=120, check=True)
    assert json.loads(done.stdout)["file"] == "a.jpg"
    assert json.loads(done.stderr.splitlines()[-1])["answered"] == 1


def test_rows_go_to_a_file_that_is_named_as_standard_output(folder: Path) -> None:
    shutil.copy(PORTRAIT, folder / "a.jpg")
    arguments = [*COMMAND, folder, "--out", "./-", "--no-report"]
    done = subprocess.run(
        arguments, cwd=folder.parent, capture_output=True, timeout=120, check=True
    )
    assert not done.stdout.startswith(b"{")
    assert json.loads((folder.parent / "-").read_text(encoding="utf-8"))["file"] == "a.jpg"


def test_a_reader_that_leaves_ends_the_run_at_once(folder: Path) -> None:
    for number in range(MANY):
        (folder / f"{number:04}.jpg").symlink_to(PORTRAIT)
    with subprocess.Popen(
        [*COMMAND, folder, "--out", "-", "--no-report"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["file"] == "0000.jpg"
        running.stdout.close()
        errors = running.stderr.read()
        assert running.wait(60) == 1
    assert b"answered" not in errors
    assert b"Traceback" not in errors


def test_a_disk_that_is_full_ends_the_run_with_its_cure(folder: Path) -> None:
    for number in range(3):
        (folder / f"{number}.jpg").symlink_to(PORTRAIT)
    done = run(folder, "--out", "/dev/full")
    assert done.exit_code == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.output


def test_terminated_it_ends_in_order(folder: Path, answers: Path) -> None:
    for number in range(MANY):
        (folder / f"{number:04}.jpg").symlink_to(PORTRAIT)
    with subprocess.Popen(
        [*COMMAND, folder, "--out", answers, "--no-report"], stderr=subprocess.PIPE
    ) as running:
        while not (answers.exists() and answers.read_bytes().count(b"\n") > 2):
            assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        assert running.stderr is not None
        errors = running.stderr.read()
        assert running.wait(60) == 128 + signal.SIGTERM
    assert b"Traceback" not in errors
    assert 2 < len(rows(answers)) < MANY
    assert answers.read_bytes().endswith(b"\n")
