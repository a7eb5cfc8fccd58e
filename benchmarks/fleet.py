"""What a cluster costs against as many plain processes at equal cores, and whether rows are equal.

    python -m benchmarks.fleet --pictures 2000

Both are started and warm before the clock is; then they take turns on the same pictures, one in
forty of which is damaged. The overhead is told twice: of the time, which means something where
nothing else runs, and of the CPU time of all processes, which a busy machine leaves as it is.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import cv2
import psutil
import typer

from ftsdk.analyzer import Analyzer
from ftsdk.batch.books import open_book
from ftsdk.batch.lines import Book
from ftsdk.batch.rows import Row, name_in
from ftsdk.batch.run import rows_of, write_all
from ftsdk.batch.sources import Entry, Listing, listing_of
from ftsdk.fleet.run import Fleet
from ftsdk.machine import cores

PORTRAIT = Path(__file__).resolve().parent.parent / "examples/pictures/portrait_forged.jpg"
_SIDE, _DAMAGED_OF = 256, 40
#: What Ray gives its workers; the plain processes have it too, for the sake of busy machines.
_RAY_NICENESS = 15


def write_folder(folder: Path, count: int) -> None:
    """Write `count` pictures of a face, each of its own content, some of them cut off."""
    portrait = cv2.imread(str(PORTRAIT))
    assert portrait is not None
    for number in range(count):
        pixels = cv2.resize(portrait[number % 16 :], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 60 + number // 16 % 40]
        content = cv2.imencode(".jpg", pixels, quality)[1].tobytes()
        damaged = number % _DAMAGED_OF == _DAMAGED_OF - 1
        whole = len(content) // 2 if damaged else len(content)
        (folder / f"{number:06}.jpg").write_bytes(content[:whole])


class Plain:
    """As many processes as cores, each with an analyzer and a book of its own."""

    def __init__(self, listing: Listing, scratch: Path, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.books = [scratch / f"plain-{number}.jsonl" for number in range(count)]
        self._pipes, self._processes = [], []
        for book in self.books:
            ours, theirs = context.Pipe()
            process = context.Process(target=_answer, args=(theirs, listing.root.where, book))
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, entries: Sequence[Entry]) -> None:
        """Write the rows of files, each process those of its share."""
        for number, pipe in enumerate(self._pipes):
            pipe.send(entries[number :: len(self._pipes)])
        for pipe in self._pipes:
            pipe.recv()

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()


def _answer(pipe: Connection, folder: str, path: Path) -> None:
    os.nice(max(0, _RAY_NICENESS - os.nice(0)))
    listing = listing_of(folder)
    analyzer = Analyzer(device="cpu", threads=1, isolate_decoding=True)
    with analyzer, open_book(path, listing.root.folder) as book:
        while (entries := pipe.recv()) is not None:
            for row in rows_of(analyzer, listing, entries, report=False):
                book.write(row)
            pipe.send(len(entries))


def on_fleet(fleet: Fleet, entries: Sequence[Entry], book: Book) -> float:
    """Write the rows of files by a cluster; return the most that its object store held, MiB."""
    import ray
    from ray._private.internal_api import memory_summary

    address, held = ray.get_runtime_context().gcs_address, 0.0

    def told(row: Row) -> None:
        nonlocal held
        if len(book.done) % 100 == 0:
            summary = memory_summary(address, stats_only=True)
            found = re.search(r"Plasma memory usage (\S+) MiB", summary)
            held = max(held, float(found[1]) if found else 0.0)
        book.done.add(name_in(row))

    write_all(fleet.rows(entries), book, told)
    return held


def cpu_seconds() -> float:
    """Return the CPU time of this process and all below it so far."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def said(path: Path) -> dict[str, Any]:
    """Return what the rows of a book say, without what differs from run to run."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row.pop("timings_ms", None)
        row.get("provenance", {}).pop("created", None)
    by_name = {name_in(row): row for row in rows}
    assert len(by_name) == len(rows), "a file has two rows"
    return by_name


def measure(listing: Listing, scratch: Path, turns: int, address: str) -> dict[str, Any]:
    """Let both take turns on the files, and hold their rows against each other."""
    count, held = cores(), 0.0
    seconds, cpu = {"fleet": 0.0, "plain": 0.0}, {"fleet": 0.0, "plain": 0.0}
    warm, entries = listing.entries[: 4 * count], listing.entries[4 * count :]
    with ExitStack() as stack:
        plain = Plain(listing, scratch, count)
        stack.callback(plain.close)
        book = stack.enter_context(open_book(scratch / "fleet.jsonl", listing.root.folder))
        fleet = stack.enter_context(Fleet(address, listing, device="cpu", report=False, warn=print))
        plain.run(warm)
        while fleet.workers < count:
            _ = [*fleet.rows(warm)]
        on_fleet(fleet, warm, book)
        for turn in range(turns):
            part = entries[turn::turns]
            marks = [(time.perf_counter(), cpu_seconds())]
            held = max(held, on_fleet(fleet, part, book))
            marks.append((time.perf_counter(), cpu_seconds()))
            plain.run(part)
            marks.append((time.perf_counter(), cpu_seconds()))
            for who, before, after in zip(seconds, marks, marks[1:], strict=False):
                seconds[who] += after[0] - before[0]
                cpu[who] += after[1] - before[1]
            typer.echo(f"{turn + 1} of {turns}: {seconds}, of the CPU {cpu}", err=True)
    rows = said(scratch / "fleet.jsonl")
    assert rows == {name: row for path in plain.books for name, row in said(path).items()}
    return {
        "pictures": len(rows),
        "failed": sum("error" in row for row in rows.values()),
        "workers": count,
        "seconds": {name: round(took, 1) for name, took in seconds.items()},
        "overhead": round(seconds["fleet"] / seconds["plain"] - 1, 3),
        "cpu_seconds": {name: round(took, 1) for name, took in cpu.items()},
        "cpu_overhead": round(cpu["fleet"] / cpu["plain"] - 1, 3),
        "object_store_mib": held,
    }


def main(
    pictures: Annotated[int, typer.Option(help="How many.")] = 2000,
    turns: Annotated[int, typer.Option(help="How often both are measured.")] = 5,
    ray: Annotated[str, typer.Option(help="A cluster with as many CPUs as are here.")] = "local",
) -> None:
    """Measure, and print what was found as JSON."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as scratch:
        folder = Path(scratch) / "in"
        folder.mkdir()
        write_folder(folder, pictures)
        typer.echo(json.dumps(measure(listing_of(str(folder)), Path(scratch), turns, ray)))


if __name__ == "__main__":
    typer.run(main)
