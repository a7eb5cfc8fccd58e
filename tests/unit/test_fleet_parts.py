"""What a fleet decides without a cluster: shares of a node, tasks, and whom a worker believes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raising import raised

from ftsdk.batch.sources import Entry, Listing, listing_of
from ftsdk.bundle import open_bundle
from ftsdk.errors import (
    BundleUntrustedError,
    ClusterUnreachableError,
    NodeUnfitError,
    OptionError,
)
from ftsdk.fleet.cluster import Lost, joined
from ftsdk.fleet.crew import Hand, Post
from ftsdk.fleet.run import Fleet, Task, _Work
from ftsdk.fleet.sharing import Need, Room, Share, first_share, shares_of
from ftsdk.fleet.worker import Order, Worker
from ftsdk.version import __version__

GIB = 1 << 30
SHARE = Share(cpus=0.9, gpus=0.0, threads=1)


@given(
    st.builds(
        Room,
        st.floats(0.1, 512),
        st.integers(GIB, 4096 * GIB),
        st.integers(0, 16).map(float),
    ),
    st.builds(Need, st.floats(0.01, 20), st.integers(GIB // 8, 80 * GIB), st.floats(0, 1)),
)
def test_the_workers_of_a_node_never_ask_for_more_than_it_has(room: Room, need: Need) -> None:
    count, share = shares_of(room, need)
    assert count * need.memory <= room.memory
    assert count * share.cpus <= room.cpus * 0.9 + 1e-3 * count
    assert count * share.gpus <= room.gpus + 1e-9
    assert share.threads >= 1
    if count and not need.gpu_share:
        assert count * share.threads <= max(room.cpus, count)
    assert (share.gpus > 0) == (need.gpu_share > 0)
    assert first_share(room, gpu=True).gpus == float(room.gpus >= 1)


def test_a_large_bundle_shares_the_cores_as_threads() -> None:
    assert shares_of(Room(16, 16 * GIB), Need(1.0, 6 * GIB)) == (2, Share(7.2, 0.0, 8))
    assert shares_of(Room(8, 64 * GIB, 2), Need(0.5, 3 * GIB, 0.3)) == (6, Share(1.2, 1 / 3, 1))
    assert shares_of(Room(4, 4 * GIB), Need(1.0, 6 * GIB))[0] == 0


def hand() -> Hand:
    return Hand(None, Post(None, founding=True), SHARE)  # type: ignore[arg-type]


def test_every_file_is_in_one_task_and_the_last_ones_are_small() -> None:
    work, worker = _Work([Entry(str(number)) for number in range(1000)]), hand()
    given: list[str] = []
    worker.pace = 0.001
    while task := work.next_for(worker, hands=4):
        given += [entry.name for entry in task.entries]
    assert given == [str(number) for number in range(1000)]
    assert len(task_sizes(0.001)) > 20
    assert task_sizes(0.001)[0] == 64
    assert task_sizes(0.001)[-1] == 1
    assert max(task_sizes(30.0)) == 1


def task_sizes(pace: float) -> list[int]:
    work, worker, sizes = _Work([Entry(str(number)) for number in range(1000)]), hand(), []
    worker.pace = pace
    while task := work.next_for(worker, hands=4):
        sizes.append(len(task.entries))
    return sizes


def test_a_worker_has_two_tasks_at_most_and_a_suspect_alone() -> None:
    work, worker = _Work([Entry(str(number)) for number in range(100)]), hand()
    worker.flights = 1
    assert work.next_for(worker, hands=1)
    worker.flights = 2
    assert work.next_for(worker, hands=1) is None
    work.again(Task((Entry("a"), Entry("b"))), Lost("it died"))
    worker.flights = 1
    assert work.next_for(worker, hands=1) is None
    worker.flights = 0
    assert work.next_for(worker, hands=1) == Task((Entry("a"),), 0)
    worker.flights, worker.alone = 1, True
    assert work.next_for(worker, hands=1) is None


def test_a_file_that_costs_three_workers_is_a_failure_and_the_others_are_not() -> None:
    work, worker = _Work([]), hand()
    work.again(Task((Entry("good"), Entry("deadly"))), Lost("signal 11"))
    deaths = 0
    while task := work.next_for(worker, hands=1):
        if task.entries == (Entry("deadly"),):
            work.again(task, Lost("signal 11"))
            deaths += 1
    assert deaths == 3
    (row,) = work.done
    assert row["file"] == "deadly"
    assert row["error"]["class"] == "WorkerLostError"
    assert row["error"]["found"] == "signal 11"
    assert row["error"]["cure"]


def order(listing: Listing, sha256: str | None = None) -> Order:
    own = open_bundle(None).sha256
    return Order(__version__, None, sha256 or own, listing, report=False, device="cpu")


def test_a_worker_refuses_another_bundle_with_both_named(tmp_path: Path) -> None:
    error = Worker(order(listing_of(str(tmp_path)), "0" * 64), threads=1).start()
    assert isinstance(error, BundleUntrustedError)
    assert "0" * 64 in error.expected
    assert open_bundle(None).sha256 in error.found


def test_a_worker_refuses_a_node_that_does_not_have_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    listing = listing_of(str(tmp_path / "in"))
    (tmp_path / "in").rmdir()
    error = Worker(order(listing), threads=1).start()
    assert isinstance(error, NodeUnfitError)
    assert str(tmp_path / "in") in error.expected


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "here", "http://127.0.0.1:8265", ""])
def test_what_is_no_address_is_wrong_use(address: str) -> None:
    raised(OptionError, lambda: joined(address).__enter__())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379"])
def test_an_address_that_does_not_answer_is_told(address: str) -> None:
    error = raised(ClusterUnreachableError, lambda: joined(address).__enter__())
    assert address in error.what


def test_the_environment_names_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    error = raised(ClusterUnreachableError, lambda: joined("auto").__enter__())
    assert "127.0.0.1:1" in error.what
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_gpu_s_number_is_wrong_use(tmp_path: Path) -> None:
    listing = listing_of(str(tmp_path))
    raised(OptionError, lambda: Fleet("auto", listing, device="cuda:1", warn=print))
