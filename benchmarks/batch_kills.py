"""Kills `ft-batch` again and again, at any moment, and holds its answers against the truth.

    python benchmarks/batch_kills.py --kills 200

After every kill: each whole line is a row, none that was there is gone or changed, no file has two.
When a run comes to its end: every file has its row, of its own content, and every answer is what
the analyzer gives alone. Then it begins again with an empty output, until all kills were done.
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
from typing import Annotated

import cv2
import typer

import ftsdk.batch.run  # noqa: F401  (once, for every child)
from ftsdk.analyzer import Analyzer
from ftsdk.batch.rows import Row, name_in
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
        retried: kills of runs that were started with --retry.
        ends: runs that came to their end, whose answers were held against the truth.
        answers: the answers that were.
    """

    kills: int = 0
    rows_at_kill: int = 0
    torn: int = 0
    retried: int = 0
    ends: int = 0
    answers: int = 0


@dataclass(frozen=True)
class Moment:
    """When a run is killed.

    Attributes:
        after_row: not before its first new row; else at any moment of its start.
        wait: s after that.
        retry: whether the run is started with --retry.
    """

    after_row: bool
    wait: float
    retry: bool

    @classmethod
    def any(cls, moments: random.Random) -> Moment:
        """Return one; three of four come after a row."""
        after_row = moments.random() < 0.75
        wait = moments.uniform(0, 0.3 if after_row else 1)
        return cls(after_row, wait, retry=moments.random() < 0.2)


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
        portrait = portraits[number % 2]
        assert portrait is not None
        _, encoded = cv2.imencode(".jpg", portrait[: 512 - number // 40], quality)
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


def kill_once(folder: Path, out: Path, moment: Moment) -> int | None:
    """Start the command and kill it at a moment; the exit code if it ended before that."""
    size = _size(out)
    child = start([str(folder), "--out", str(out), *(["--retry"] if moment.retry else [])])
    start_of_wait = None if moment.after_row else time.monotonic()
    while start_of_wait is None or time.monotonic() < start_of_wait + moment.wait:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if start_of_wait is None and _size(out) > size:
            start_of_wait = time.monotonic()
        size = min(size, _size(out))  # a retry takes failures out
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def _size(out: Path) -> int:
    return out.stat().st_size if out.exists() else 0


def whole_rows(out: Path) -> tuple[list[Row], bool]:
    """Return the rows of the whole lines, and whether a part of one follows them."""
    *lines, rest = out.read_bytes().split(b"\n") if out.exists() else [b""]
    rows = [json.loads(line) for line in lines]
    names = [name_in(row) for row in rows]
    assert len(names) == len({*names}), "a file has two rows"
    return rows, bool(rest)


def check_kept(before: list[Row], after: list[Row], retried: bool) -> None:
    """Hold that no row went; a retry may have taken the failures, all of them."""
    kept = [row for row in before if not (retried and "error" in row)]
    whole = after[: len(kept)] == kept or after[: len(before)] == before
    assert whole, "a row is gone or was changed"


def truth_of(folder: Path) -> dict[str, Row]:
    """Return what the row of each file has to say, as the analyzer answers alone."""
    truth: dict[str, Row] = {}
    with Analyzer(device="cpu", cache_bytes=0) as analyzer:
        for path in folder.rglob("*.*"):
            name, kind = path.relative_to(folder).as_posix(), int(path.stem) % _PERIOD
            if kind == _TEXT:
                truth[name] = {"left_out": True}
            elif kind == _BROKEN:
                truth[name] = {"error": "ImageTruncatedError"}
            else:
                alone = analyzer.analyze(path, report=False)
                truth[name] = said(alone.to_dict())
                assert truth[name]["sha256"] == decode(path).sha256
    return truth


def said(row: Row) -> Row:
    """Return what is held against the truth."""
    if "left_out" in row:
        return {"left_out": True}
    if "error" in row:
        return {"error": row["error"]["class"]}
    sha256 = row["picture"]["sha256"]
    return {"sha256": sha256, **{key: row[key] for key in ("finding", "score", "mask")}}


def kill_until_it_ends(
    folder: Path,
    out: Path,
    truth: dict[str, Row],
    moments: random.Random,
    seen: Outcome,
    kills: int,
) -> None:
    """Kill runs on one output until one comes to its end, which the last of `kills` lets it do."""
    rows: list[Row] = []
    while True:
        moment = Moment.any(moments) if seen.kills < kills else Moment(True, 600, retry=False)
        code = kill_once(folder, out, moment)
        after, torn = whole_rows(out)
        check_kept(rows, after, moment.retry)
        if code is not None:
            break
        seen.kills, seen.torn = seen.kills + 1, seen.torn + torn
        seen.retried += moment.retry
        seen.rows_at_kill += len(after) > len(rows)
        rows = after
    assert code == 1, "there are failures to be told"
    assert not torn
    assert {name_in(row): said(row) for row in after} == truth, "an answer is not true"
    seen.ends, seen.answers = seen.ends + 1, seen.answers + len(after)


def main(
    kills: Annotated[int, typer.Option(help="How often.")] = 200,
    files: Annotated[int, typer.Option(help="Pictures and other files in the folder.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 2026,
) -> None:
    """Kill, look, and go on; print what was seen as JSON, also when interrupted."""
    moments, seen = random.Random(seed), Outcome()
    scratch = Path(tempfile.mkdtemp(prefix="batch-kills-"))
    try:
        folder, out = scratch / "in", scratch / "out.jsonl"
        write_folder(folder, files)
        truth = truth_of(folder)
        while seen.kills < kills:
            kill_until_it_ends(folder, out, truth, moments, seen, kills)
            out.unlink()
    except KeyboardInterrupt:
        pass
    finally:
        typer.echo(json.dumps({**asdict(seen), "files": files}))
        shutil.rmtree(scratch)


if __name__ == "__main__":
    typer.run(main)
