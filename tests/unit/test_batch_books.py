"""A book is whole after any end, keeps what is not its own, and has one writer."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raising import raised

from ftsdk.batch import rows
from ftsdk.batch.books import open_book
from ftsdk.batch.rows import Counts, name_in
from ftsdk.errors import (
    ImageFormatError,
    OptionError,
    OutputError,
    OutputFormatError,
    OutputLockedError,
)

FOLDER = "/pictures"
ERROR = ImageFormatError("It is no picture.", expected="a", found="b", cure="Do c.")
SUSPECTED = {"file": "s.jpg", "score": 0.9, "score_threshold": 0.5}
FOUND_NOTHING = {"file": "n.jpg", "score": 0.1, "score_threshold": 0.5}
NO_SCORE = {"file": "x.jpg", "score": None, "score_threshold": None}
FAILED = rows.failed("f.jpg", ERROR)
LEFT_OUT = rows.left_out("t.txt", "no picture")
ALL = [SUSPECTED, FOUND_NOTHING, NO_SCORE, FAILED, LEFT_OUT]
COUNTS = Counts(answered=3, suspected=1, failed=1, left_out=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@pytest.fixture
def full(path: Path) -> Path:
    with open_book(path, FOLDER) as book:
        for row in ALL:
            book.write(row)
        assert (book.before, book.counts) == (Counts(), COUNTS)
    return path


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_book_goes_on_where_it_was(full: Path) -> None:
    with open_book(full, FOLDER) as book:
        assert book.done == {"s.jpg", "n.jpg", "x.jpg", "f.jpg", "t.txt"}
        assert (book.before, book.counts) == (COUNTS, Counts())
        book.write({**SUSPECTED, "file": "later.jpg"})
    assert [row["file"] for row in read(full)][-2:] == ["t.txt", "later.jpg"]


def test_a_retry_takes_the_failures_out(full: Path) -> None:
    with open_book(full, FOLDER, retry={"f.jpg"}) as book:
        assert "f.jpg" not in book.done
        assert book.before == Counts(answered=3, suspected=1, failed=0, left_out=1)
        assert [row["file"] for row in read(full)] == ["s.jpg", "n.jpg", "x.jpg", "t.txt"]
        raised(OutputLockedError, lambda: open_book(full, FOLDER))
        book.write(FAILED)
    assert [row["file"] for row in read(full)][-2:] == ["t.txt", "f.jpg"]
    assert [path.name for path in full.parent.iterdir()] == [full.name]


def test_a_retry_keeps_the_failures_of_files_that_are_gone(full: Path) -> None:
    with open_book(full, FOLDER) as book:
        book.write({**FAILED, "file": "gone.jpg"})
    with open_book(full, FOLDER, retry={"f.jpg", "s.jpg"}) as book:
        assert book.done == {"s.jpg", "n.jpg", "x.jpg", "t.txt", "gone.jpg"}
        assert book.before == COUNTS
    assert [row["file"] for row in read(full)] == ["s.jpg", "n.jpg", "x.jpg", "t.txt", "gone.jpg"]


@given(st.integers(min_value=0, max_value=60))
def test_what_a_crash_left_of_a_row_is_removed(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    path, whole = tmp_path_factory.mktemp("book") / "o.jsonl", json.dumps(SUSPECTED) + "\n"
    for zeros in (b"", bytes(7)):
        path.write_bytes(whole.encode() + json.dumps(FAILED).encode()[:length] + zeros)
        with open_book(path, FOLDER) as book:
            assert book.done == {"s.jpg"}
        assert path.read_text(encoding="utf-8") == whole


@pytest.mark.parametrize(
    "content",
    [
        b"notes without an end", b"\xff\xd8\xff\xe0 evidence", b"a\nb\n", b'{"a": 1}\n', b"[]\n",
        b'{"file": "a.jpg", "score": 1}\n', b'{"file": 3, "error": {}}\n', b"[" * 10**5 + b"\n",
        json.dumps(SUSPECTED).encode() + b"\n\nnotes\n", b'{"file_bytes": "zz", "error": {}}\n',
    ],
)  # fmt: skip
@pytest.mark.parametrize("retry", [(), {"f.jpg"}])
def test_what_is_no_book_is_refused_and_left_as_it_is(
    path: Path, content: bytes, retry: Container[str]
) -> None:
    path.write_bytes(content)
    raised(OutputFormatError, lambda: open_book(path, FOLDER, retry))
    assert path.read_bytes() == content


def test_a_second_writer_is_refused(full: Path) -> None:
    with open_book(full, FOLDER):
        error = raised(OutputLockedError, lambda: open_book(full, FOLDER))
    assert "another run" in error.what
    open_book(full, FOLDER).close()


@pytest.mark.parametrize("retry", [(), {"f.jpg"}])
def test_another_folder_is_refused_and_the_book_left_as_it_is(
    full: Path, retry: Container[str]
) -> None:
    before = full.read_bytes()
    error = raised(OptionError, lambda: open_book(full, "/other", retry))
    assert FOLDER in error.found
    assert full.read_bytes() == before
    open_book(full, FOLDER).close()


def test_absolute_names_are_of_no_folder(path: Path) -> None:
    with open_book(path, FOLDER) as book:
        book.write(rows.failed("/archive/a.jpg", ERROR))
    with open_book(path, "/other") as book:
        assert book.done == {"/archive/a.jpg"}
        book.write(FAILED)
    assert [row.get("folder") for row in read(path)] == [None, "/other"]


def test_a_lock_ends_with_its_process(full: Path) -> None:
    def hold() -> None:
        open_book(full, FOLDER)
        os.kill(os.getpid(), signal.SIGKILL)

    child = multiprocessing.get_context("fork").Process(target=hold)
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    open_book(full, FOLDER).close()


def test_a_row_that_finds_no_room_leaves_nothing_of_itself(full: Path) -> None:
    def write() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with open_book(full, FOLDER) as book:
            resource.setrlimit(resource.RLIMIT_FSIZE, (full.stat().st_size + 20,) * 2)
            raised(OutputError, lambda: book.write(FAILED))

    before = full.read_bytes()
    child = multiprocessing.get_context("fork").Process(target=write)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert full.read_bytes() == before


@pytest.mark.parametrize("place", ["no/such/o.jsonl", ".", "file/o.jsonl"])
def test_a_place_where_no_file_can_be_is_wrong_use(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    raised(OptionError, lambda: open_book(tmp_path / place, FOLDER))


def test_a_device_is_written_and_not_read() -> None:
    with open_book(Path("/dev/zero"), FOLDER) as book:  # reading it would never end
        book.write(FAILED)
        assert book.counts.failed == 1
    with open_book(Path("/dev/full"), FOLDER) as book:
        error = raised(OutputError, lambda: book.write(FAILED))
        assert "No space left" in error.found


@pytest.mark.parametrize("name", ["a.jpg", "sub/caf\udce9\udcff.jpg", "\x1b\n\u202e.jpg", "写.jpg"])
@pytest.mark.parametrize("make", [lambda name: rows.failed(name, ERROR),
                                  lambda name: rows.left_out(name, "why")])  # fmt: skip
def test_every_name_comes_back(path: Path, name: str, make: Callable[[str], rows.Row]) -> None:
    with open_book(path, FOLDER) as book:
        book.write(make(name))
    (row,) = read(path)
    assert name_in(row) == name
    assert "\x1b" not in path.read_text(encoding="utf-8")
    with open_book(path, FOLDER) as book:
        assert book.done == {name}
