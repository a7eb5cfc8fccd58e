"""Kills `ft-batch` again and again, at any moment, and holds its answers against the truth.

    python benchmarks/batch_kills.py --kills 200

After every kill: each whole line is a row, none that was there is gone or changed, no file has two.
In the end, after one run in peace: every file has its row, of its own content, and every answer is
what the analyzer gives alone.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

import ftsdk.batch.run  # noqa: F401  (once, for every child)
from ftsdk.analyzer import Analyzer
from ftsdk.batch.rows import name_in
from ftsdk.cli import batch
from ftsdk.imaging.decode import decode

PICTURES = Path(__file__).resolve().parent.parent / "examples" / "pictures"
#: Of twenty files, one cannot be decoded and one is no picture.
_BROKEN, _TEXT, _PERIOD = 7, 13, 20


@dataclass
class Outcome:
    """What was seen.

    Attributes:
        kills: how often the process was killed.
        rows_at_kill: kills that left new rows.
        torn: kills that left part of a row.
        retried: runs that were started with --retry.
    """

    kills: int = 0
    rows_at_kill: int = 0
    torn: int = 0
    retried: int = 0


def write_folder(folder: Path, count: int) -> None:
    """Write `count` files, each of its own content."""
    names = "portrait.jpg", "portrait_forged.jpg"
    portraits = [cv2.imread(str(PICTURES / name)) for name in names]
    for number in range(count):
        path = folder / f"{number // 50:02}" / f"{number:04}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % _PERIOD == _TEXT:
            path.with_suffix(".txt").write_text(f"notes {number}", encoding="utf-8")
            continue
        quality = [cv2.IMWRITE_JPEG_QUALITY, 60 + number % 40]
        _, encoded = cv2.imencode(".jpg", portraits[number % 2][: 512 - number // 40], quality)
        content = encoded.tobytes()
        whole = number % _PERIOD != _BROKEN
        path.with_suffix(".jpg").write_bytes(content if whole else content[:-2000])


def start(arguments: list[str]) -> int:
    """Run the command in a forked child, which has everything imported, and return its process."""
    child = os.fork()
    if child:
        return child
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for number in (1, 2):
            os.dup2(null, number)
        sys.argv = ["ft-batch", *arguments, "--device", "cpu", "--no-report"]
        batch.main()
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    finally:
        os._exit(70)


def kill_once(folder: Path, out: Path, wait: float, retry: bool) -> bool:
    """Start the command, and kill it `wait` s after its first new row; False if it ended before."""
    before = out.stat().st_size if out.exists() else 0
    child = start([str(folder), "--out", str(out), *(["--retry"] if retry else [])])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if out.exists() and out.stat().st_size != before:
            break
        time.sleep(0.005)
    if ended[0]:
        return False
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def whole_rows(out: Path) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows of the whole lines, and whether a part of one follows them."""
    *lines, rest = out.read_bytes().split(b"\n") if out.exists() else [b""]
    rows = [json.loads(line) for line in lines]
    names = [name_in(row) for row in rows]
    assert len(names) == len({*names}), "a file has two rows"
    return rows, bool(rest)


def check_kept(before: list[dict[str, Any]], after: list[dict[str, Any]], retried: bool) -> None:
    """Hold that no row went; a retry may take failures."""
    kept = [row for row in before if not (retried and "error" in row)]
    assert after[: len(kept)] == kept, "a row is gone or was changed"


def check_truth(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Hold every row against its file."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
    assert {name_in(row) for row in rows} == {*files}, "a file has no row"
    with Analyzer(device="cpu", cache_bytes=0) as analyzer:
        for row in rows:
            number = int(Path(row["file"]).stem)
            if number % _PERIOD == _TEXT:
                assert "left_out" in row
            elif number % _PERIOD == _BROKEN:
                assert row["error"]["class"] == "ImageTruncatedError"
            else:
                path = files[row["file"]]
                assert row["picture"]["sha256"] == decode(path).sha256
                alone = analyzer.analyze(path, report=False)
                assert (row["finding"], row["score"]) == (alone.finding, alone.score)


def main(
    kills: Annotated[int, typer.Option(help="How often.")] = 200,
    files: Annotated[int, typer.Option(help="Pictures and other files in the folder.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 2026,
) -> None:
    """Kill, look, and go on; print what was seen as JSON."""
    moments, seen = random.Random(seed), Outcome()
    scratch = Path(tempfile.mkdtemp(prefix="batch-kills-"))
    try:
        folder, out = scratch / "in", scratch / "out.jsonl"
        write_folder(folder, files)
        rows: list[dict[str, Any]] = []
        while seen.kills < kills:
            retry = moments.random() < 0.2
            if not kill_once(folder, out, moments.uniform(0, 0.3), retry):
                break  # it has come to its end
            after, torn = whole_rows(out)
            check_kept(rows, after, retry)
            seen.kills, seen.torn = seen.kills + 1, seen.torn + torn
            seen.retried += retry
            seen.rows_at_kill += len(after) > len(rows)
            rows = after
        _, status = os.waitpid(start([str(folder), "--out", str(out)]), 0)
        assert os.waitstatus_to_exitcode(status) == 1, "there are failures to be told"
        after, torn = whole_rows(out)
        assert not torn
        check_kept(rows, after, retried=False)
        check_truth(folder, after)
        typer.echo(json.dumps({**asdict(seen), "files": files, "rows": len(after)}))
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    typer.run(main)
