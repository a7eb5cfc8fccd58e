"""`ft-batch --ray` on a real Ray cluster of three nodes: no row is lost and none is there twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest
from conftest import REPOSITORY
from raising import raised

from ftsdk.analyzer import Analyzer
from ftsdk.batch.rows import Row, name_in
from ftsdk.batch.run import rows_of
from ftsdk.batch.sources import Entry, listing_of
from ftsdk.errors import FtsdkError, NodeMismatchError, NodeUnfitError
from ftsdk.fleet.run import Fleet
from ftsdk.version import __version__

ray = pytest.importorskip("ray")
PORTRAIT = REPOSITORY / "examples/pictures/portrait_forged.jpg"
COMMAND = [sys.executable, "-c", "from ftsdk.cli.batch import main; main()"]
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}  # the least that Ray takes
PICTURES, DAMAGED = 60, 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(**NODE, wait=False)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small pictures without a face, some with one, some damaged, and a text."""
    folder = tmp_path / "in"
    folder.mkdir()
    portrait = cv2.imread(str(PORTRAIT))
    assert portrait is not None
    for number in range(PICTURES):
        face = number % 4 == 0
        pixels = portrait if face else portrait[:64, :80]
        cv2.imwrite(str(folder / f"{number:03}.jpg"), pixels)
    for number in range(DAMAGED):
        path = folder / f"{number * 10:03}.jpg"
        path.write_bytes(path.read_bytes()[:600])
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    return folder


def said(row: Row) -> Row:
    """Return a row without what differs from one run to the next."""
    said = {key: value for key, value in row.items() if key not in ("timings_ms", "folder")}
    if "provenance" in said:
        said["provenance"] = {**said["provenance"], "created": None}
    return said


def rows(answers: Path) -> list[Row]:
    """Return the whole rows that are there by now."""
    content = answers.read_bytes() if answers.exists() else b""
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def start(folder: Path, answers: Path, address: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, folder, "--out", answers, "--ray", address, "--no-report", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith("ray::Worker")
    ]


def test_kills_of_driver_worker_and_node_cost_no_row(
    cluster: Any, folder: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    first = start(folder, answers, cluster.address)
    wait_for(lambda: rows(answers), first)
    first.kill()
    first.communicate()
    before = rows(answers)
    assert 0 < len(before) < PICTURES

    ended = start(folder, answers, cluster.address)
    wait_for(lambda: len(rows(answers)) > len(before), ended)
    ended.send_signal(signal.SIGTERM)
    assert "Traceback" not in ended.communicate(timeout=60)[1]
    assert ended.returncode == 128 + signal.SIGTERM
    before = rows(answers)

    again = start(folder, answers, cluster.address)
    wait_for(lambda: len(rows(answers)) > len(before), again)
    os.kill(workers()[0].pid, signal.SIGKILL)
    cluster.remove_node(next(iter(cluster.worker_nodes)))
    out, errors = again.communicate(timeout=300)

    assert again.returncode == 1, errors
    counts = json.loads(out)
    kinds = "answered", "failed", "left_out"
    assert sum(counts[f"{kind}_before"] for kind in kinds) == len(before)
    assert counts["failed"] + counts["failed_before"] == DAMAGED
    assert counts["pictures_per_second"] > 0
    found = rows(answers)
    assert len(found) == len({name_in(row) for row in found}) == PICTURES + 1
    listing = listing_of(str(folder))
    with Analyzer(device="cpu", threads=1) as analyzer:
        expected = [*rows_of(analyzer, listing, listing.entries, report=False)]
    by_name = {name_in(row): said(row) for row in found}
    assert by_name == {name_in(row): said(json.loads(json.dumps(row))) for row in expected}


def answer_until(condition: Callable[[], Any], fleet: Fleet, entries: Sequence[Entry]) -> None:
    """Let a fleet answer the same files again and again, so that it looks after its nodes."""
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        names = [row["file"] for row in fleet.rows(entries)]
        assert sorted(names) == sorted(entry.name for entry in entries)


def other_ftsdk(folder: Path, version: str) -> Path:
    """Write an ftsdk that differs by its version; return the folder to import it from."""
    package = folder / "ftsdk"
    shutil.copytree(REPOSITORY / "sdk/ftsdk", package, symlinks=True, copy_function=os.symlink)
    (package / "version.py").unlink()
    (package / "version.py").write_text(f'__version__ = "{version}"\n', encoding="utf-8")
    return folder


def test_a_node_with_another_ftsdk_is_refused_and_one_that_cannot_start_is_done_without(
    cluster: Any, folder: Path, tmp_path: Path
) -> None:
    other = other_ftsdk(tmp_path / "other", "0.0.1")
    node = cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(other)})
    listing, told = listing_of(str(folder)), list[FtsdkError]()
    fleet = Fleet(cluster.address, listing, device="cpu", report=False, warn=told.append)
    error = raised(NodeMismatchError, fleet.__enter__)
    assert __version__ in error.expected
    assert "0.0.1" in error.found

    shutil.rmtree(other)
    (other_ftsdk(other, __version__) / "ftsdk" / "fleet" / "worker.py").unlink()
    with fleet:
        answer_until(lambda: told, fleet, listing.entries[-2:-1])
    cluster.remove_node(node)
    assert [type(error) for error in told] == [NodeUnfitError]
    assert "ftsdk.fleet.worker" in told[0].found


def test_a_node_that_joins_later_is_used_and_one_with_another_ftsdk_is_left_out(
    cluster: Any, folder: Path, tmp_path: Path
) -> None:
    listing, told = listing_of(str(folder)), list[FtsdkError]()
    nodes = len(cluster.list_all_nodes())
    with Fleet(cluster.address, listing, device="cpu", report=False, warn=told.append) as fleet:
        answer_until(lambda: fleet.workers == nodes, fleet, listing.entries[-2:])
        initial = workers()
        other = other_ftsdk(tmp_path / "other", "0.0.1")
        cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(other)})
        cluster.add_node(**NODE)
        answer_until(lambda: fleet.workers > nodes and told, fleet, listing.entries[-2:])
        found = []
        answered = fleet.rows(listing.entries)
        try:
            for worker in initial:  # so that whoever answers has joined later
                worker.suspend()
            found += [next(answered) for _ in range(PICTURES // 2)]
        finally:
            for worker in initial:
                worker.resume()
        found += answered
    assert sorted(row["file"] for row in found) == sorted(e.name for e in listing.entries)
    assert [type(error) for error in told] == [NodeMismatchError]
    assert "0.0.1" in told[0].found
