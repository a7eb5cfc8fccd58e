"""Shards of Parquet hold what the lines of JSON hold, after any end."""

from __future__ import annotations

import json
import multiprocessing
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import REPOSITORY
from pyarrow.dataset import dataset
from pyarrow.parquet import write_table
from raising import raised

from ftsdk.analyzer import Analyzer
from ftsdk.batch import rows, shards
from ftsdk.batch.books import open_book
from ftsdk.batch.rows import Counts, Row
from ftsdk.errors import (
    ImageFormatError,
    OptionError,
    OutputError,
    OutputFormatError,
    OutputLockedError,
)

FOLDER = "/pictures"
ERROR = ImageFormatError("It is no picture.", expected="a", found="b", cure="Do c.")
FAILED = rows.failed("f.jpg", ERROR)
ALL = [
    {"file": "s.jpg", "score": 0.9, "score_threshold": 0.5},
    {"file": "x.jpg", "score": None, "score_threshold": None},
    FAILED,
    rows.left_out("t.txt", "no picture"),
    rows.failed("sub/caf\udce9.jpg", ERROR),
    rows.failed("/absolute.jpg", ERROR),
]
COUNTS = Counts(answered=2, suspected=1, failed=3, left_out=1)
NAMES = {"s.jpg", "x.jpg", "f.jpg", "t.txt", "sub/caf\udce9.jpg", "/absolute.jpg"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.parquet"


@pytest.fixture
def full(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shards, "_MOST_ROWS", 4)
    write(path, ALL)
    assert sorted(file.name for file in path.iterdir()) == [
        "part-000000.parquet", "part-000001.parquet",
    ]  # fmt: skip
    return path


def write(path: Path, new: list[Row]) -> None:
    with open_book(path, FOLDER) as book:
        for row in new:
            book.write(row)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows as any reader of Parquet sees them."""
    return dataset(path, format="parquet").to_table().to_pylist()


def names(path: Path) -> list[str]:
    return sorted(row["file"] for row in read(path))


def test_shards_go_on_where_they_were(full: Path) -> None:
    with open_book(full, FOLDER) as book:
        assert (book.done, book.before, book.counts) == (NAMES, COUNTS, Counts())
        book.write({**ALL[0], "file": "later.jpg"})
    assert len(read(full)) == len(ALL) + 1
    with open_book(full, FOLDER) as book:
        assert "later.jpg" in book.done


def test_a_retry_takes_its_failures_out_of_every_shard(full: Path) -> None:
    with open_book(full, FOLDER, retry={"f.jpg", "s.jpg", "sub/caf\udce9.jpg"}) as book:
        assert book.done == NAMES - {"f.jpg", "sub/caf\udce9.jpg"}
        assert book.before == Counts(answered=2, suspected=1, failed=1, left_out=1)
        book.write({**ALL[0], "file": "f.jpg"})
    assert names(full) == ["/absolute.jpg", "f.jpg", "s.jpg", "t.txt", "x.jpg"]


@pytest.mark.parametrize("report", [False, True])
def test_a_real_row_comes_back_as_it_is_in_json(path: Path, report: bool) -> None:
    picture = REPOSITORY / "examples/pictures/portrait_forged.jpg"
    with Analyzer(device="cpu") as analyzer:
        row = rows.answered("p.jpg", analyzer.analyze(picture, report=report))
    told = ("face", "finding", "suspected", "score", "regions", "report", "warnings")
    row["others"] = [{key: row[key] for key in told}]
    row["corrections"] = ["mask"]
    write(path, [row])
    (found,) = read(path)
    for name in ("region_probabilities", "timings_ms"):
        found[name] = dict(found[name])
    absent = {"error", "left_out", "file_bytes"}
    assert {found.pop(name) for name in absent} == {None}
    assert found == json.loads(json.dumps({**row, "folder": FOLDER}))


def test_a_kill_between_a_shard_and_the_emptying_of_what_waits_doubles_no_row(full: Path) -> None:
    waiting = full / "_rows.jsonl"
    with open_book(full, FOLDER) as book:
        for number in range(3):
            book.write({**ALL[0], "file": f"{number}.jpg"})
        content = waiting.read_bytes()
        assert content.count(b"\n") == 3
    waiting.write_bytes(content)
    with open_book(full, FOLDER) as book:
        assert book.before.answered == COUNTS.answered + 3
    assert len(read(full)) == len({*names(full)}) == len(ALL) + 3


def test_a_kill_before_a_shard_loses_no_row(path: Path, tmp_path: Path) -> None:
    with open_book(path, FOLDER) as book:
        for row in ALL:
            book.write(row)
        shutil.copytree(path, tmp_path / "killed.parquet")
    with (tmp_path / "killed.parquet/_rows.jsonl").open("ab") as file:
        file.write(b'{"file": "torn')
    with open_book(tmp_path / "killed.parquet", FOLDER) as book:
        assert (book.done, book.before) == (NAMES, COUNTS)
    assert names(tmp_path / "killed.parquet") == names(path)


def test_a_second_writer_and_another_folder_are_refused(full: Path) -> None:
    with open_book(full, FOLDER):
        raised(OutputLockedError, lambda: open_book(full, FOLDER))
    error = raised(OptionError, lambda: open_book(full, "/other", retry=NAMES))
    assert FOLDER in error.found
    assert len(read(full)) == len(ALL)
    open_book(full, FOLDER).close()


def test_what_is_no_book_is_refused_and_left_as_it_is(path: Path) -> None:
    path.mkdir()
    write_table(pa.table({"label": [1]}), path / "part-000000.parquet")
    before = (path / "part-000000.parquet").read_bytes()
    raised(OutputFormatError, lambda: open_book(path, FOLDER))
    (path / "part-000000.parquet").rename(path / "other.parquet")
    raised(OutputFormatError, lambda: open_book(path, FOLDER))
    (path / "other.parquet").rename(path / "part-000000.parquet")
    (path / "part-000001.parquet").write_bytes(b"PAR1")
    raised(OutputFormatError, lambda: open_book(path, FOLDER))
    assert (path / "part-000000.parquet").read_bytes() == before
    assert sorted(file.name for file in path.iterdir()) == [
        "part-000000.parquet", "part-000001.parquet",
    ]  # fmt: skip


def test_a_file_of_that_name_is_wrong_use(path: Path) -> None:
    path.write_bytes(b"mine")
    raised(OptionError, lambda: open_book(path, FOLDER))
    raised(OptionError, lambda: open_book(path / "in" / "o.parquet", FOLDER))
    assert path.read_bytes() == b"mine"


def test_a_shard_that_finds_no_room_loses_no_row(path: Path) -> None:
    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        book = open_book(path, FOLDER)
        for row in ALL:
            book.write(row)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000,) * 2)
        error = raised(OutputError, book.close)
        assert "parquet" in error.what

    child = multiprocessing.get_context("fork").Process(target=fill)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert [file.name for file in path.iterdir()] == ["_rows.jsonl"]
    with open_book(path, FOLDER) as book:
        assert (book.done, book.before) == (NAMES, COUNTS)
    assert len(read(path)) == len(ALL)
