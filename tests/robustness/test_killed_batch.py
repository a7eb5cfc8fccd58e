"""A writer of a book that is killed at any moment: no row is lost, doubled or left in part."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from ftsdk.batch.books import open_book
from ftsdk.batch.rows import name_in

FOLDER = "/pictures"
KILLS = 25
ROWS = 120
#: Rows as long as those of large masks, so that kills meet their writing.
LENGTHS = [*range(3000)] * 2


def row(number: int, failed: bool) -> dict[str, object]:
    """Return what has to stand there for a file, of which every seventh fails the first time."""
    if failed:
        return {"file": f"{number}.jpg", "error": {"class": "InputError"}, "run_lengths": LENGTHS}
    score = {"score": number / ROWS, "score_threshold": 0.5}
    return {"file": f"{number}.jpg", **score, "run_lengths": LENGTHS}


def write_on(path: Path, retry: bool) -> None:
    """Go on with the book as `ft-batch` does."""
    names = {f"{number}.jpg" for number in range(ROWS)}
    with open_book(path, FOLDER, names if retry else ()) as book:
        for number in range(ROWS):
            if f"{number}.jpg" not in book.done:
                book.write(row(number, failed=number % 7 == 0 and not retry))


def start(path: Path, retry: bool) -> int:
    child = os.fork()
    if child:
        return child
    try:
        write_on(path, retry)
    finally:
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_kills_at_any_moment_cost_no_row(tmp_path: Path) -> None:
    path, moments = tmp_path / "answers.jsonl", random.Random(7)
    torn, before = 0, list[dict[str, object]]()
    for _ in range(KILLS):
        retry = moments.random() < 0.3
        child = start(path, retry)
        time.sleep(moments.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        *lines, rest = path.read_bytes().split(b"\n") if path.exists() else [b""]
        rows = [json.loads(line) for line in lines]
        kept = [one for one in before if not (retry and "error" in one)]
        assert rows[: len(kept)] == kept or rows[: len(before)] == before
        names = [name_in(one) for one in rows]
        assert len(names) == len({*names})
        torn, before = torn + bool(rest), rows
    write_on(path, retry=True)
    final = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    expected = {
        f"{number}.jpg": row(number, failed=False) | {"folder": FOLDER} for number in range(ROWS)
    }
    assert {name_in(one): one for one in final} == expected
    assert len(final) == ROWS
    assert {file.name for file in tmp_path.iterdir()} <= {path.name, f".{path.name}.retry"}
