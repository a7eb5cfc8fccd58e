"""What a fleet decides without a cluster: allocations, tasks, and whom a worker believes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
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
from ftsdk.fleet.allocation import Allocation, Capacity, Usage, allocate, first_allocation
from ftsdk.fleet.cluster import Lost, joined
from ftsdk.fleet.pool import NodeState, WorkerHandle
from ftsdk.fleet.run import Fleet, Task, _TaskQueue
from ftsdk.fleet.worker import Worker, WorkerConfig
from ftsdk.version import __version__

GIB = 1 << 30
ALLOCATION = Allocation(cpus=0.9, gpus=0.0, threads=1)


@given(
    st.builds(
        Capacity,
        st.floats(0.1, 512),
        st.integers(GIB, 4096 * GIB),
        st.integers(0, 16).map(float),
    ),
    st.builds(Usage, st.floats(0.01, 20), st.integers(GIB // 8, 80 * GIB), st.floats(0, 1)),
)
@example(Capacity(1.0, GIB, 1.0), Usage(1.0, GIB // 8, sys.float_info.min / 2))
def test_the_workers_of_a_node_never_ask_for_more_than_it_has(
    capacity: Capacity, usage: Usage
) -> None:
    count, allocation = allocate(capacity, usage)
    assert count * usage.memory <= capacity.memory
    assert count * allocation.cpus <= capacity.cpus * 0.9 + 1e-3 * count
    assert count * allocation.gpus <= capacity.gpus + 1e-9
    assert allocation.threads >= 1
    if count and not usage.gpu_fraction:
        assert count * allocation.threads <= max(capacity.cpus, count)
    assert (allocation.gpus > 0) == (usage.gpu_fraction > 0)
    assert first_allocation(capacity, gpu=True).gpus == float(capacity.gpus >= 1)


def test_a_large_bundle_shares_the_cores_as_threads() -> None:
    assert allocate(Capacity(16, 16 * GIB), Usage(1.0, 6 * GIB)) == (2, Allocation(7.2, 0.0, 8))
    gpus = Capacity(8, 64 * GIB, 2)
    assert allocate(gpus, Usage(0.5, 3 * GIB, 0.3)) == (6, Allocation(1.2, 1 / 3, 1))
    assert allocate(Capacity(4, 4 * GIB), Usage(1.0, 6 * GIB))[0] == 0


def handle() -> WorkerHandle:
    return WorkerHandle(None, NodeState(None, initial=True), ALLOCATION)  # type: ignore[arg-type]


def test_every_file_is_in_one_task_and_the_last_ones_are_small() -> None:
    queue, worker = _TaskQueue([Entry(str(number)) for number in range(1000)]), handle()
    given: list[str] = []
    worker.seconds_per_picture = 0.001
    while task := queue.next_for(worker, workers=4):
        given += [entry.name for entry in task.entries]
    assert given == [str(number) for number in range(1000)]
    assert len(task_sizes(0.001)) > 20
    assert task_sizes(0.001)[0] == 64
    assert task_sizes(0.001)[-1] == 1
    assert max(task_sizes(30.0)) == 1


def task_sizes(seconds_per_picture: float) -> list[int]:
    queue, worker, sizes = _TaskQueue([Entry(str(number)) for number in range(1000)]), handle(), []
    worker.seconds_per_picture = seconds_per_picture
    while task := queue.next_for(worker, workers=4):
        sizes.append(len(task.entries))
    return sizes


def test_a_worker_has_two_tasks_at_most_and_a_suspect_alone() -> None:
    queue, worker = _TaskQueue([Entry(str(number)) for number in range(100)]), handle()
    worker.in_flight = 1
    assert queue.next_for(worker, workers=1)
    worker.in_flight = 2
    assert queue.next_for(worker, workers=1) is None
    queue.requeue(Task((Entry("a"), Entry("b"))), Lost("it died"))
    worker.in_flight = 1
    assert queue.next_for(worker, workers=1) is None
    worker.in_flight = 0
    assert queue.next_for(worker, workers=1) == Task((Entry("a"),), 0)
    worker.in_flight, worker.alone = 1, True
    assert queue.next_for(worker, workers=1) is None


def test_a_file_that_costs_three_workers_is_a_failure_and_the_others_are_not() -> None:
    queue, worker = _TaskQueue([]), handle()
    queue.requeue(Task((Entry("good"), Entry("deadly"))), Lost("signal 11"))
    deaths = 0
    while task := queue.next_for(worker, workers=1):
        if task.entries == (Entry("deadly"),):
            queue.requeue(task, Lost("signal 11"))
            deaths += 1
    assert deaths == 3
    (row,) = queue.done
    assert row["file"] == "deadly"
    assert row["error"]["class"] == "WorkerLostError"
    assert row["error"]["found"] == "signal 11"
    assert row["error"]["cure"]


def config(listing: Listing, sha256: str | None = None) -> WorkerConfig:
    own = open_bundle(None).sha256
    return WorkerConfig(__version__, None, sha256 or own, listing, report=False, device="cpu")


def test_a_worker_refuses_another_bundle_with_both_named(tmp_path: Path) -> None:
    error = Worker(config(listing_of(str(tmp_path)), "0" * 64), threads=1).start()
    assert isinstance(error, BundleUntrustedError)
    assert "0" * 64 in error.expected
    assert open_bundle(None).sha256 in error.found


def test_a_worker_refuses_a_node_that_does_not_have_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    listing = listing_of(str(tmp_path / "in"))
    (tmp_path / "in").rmdir()
    error = Worker(config(listing), threads=1).start()
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
