"""The queue: how many come in, what a cancelled job stops, when a place is free again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from ftsdk.cancellation import Cancellation
from ftsdk.errors import QueueFullError
from ftsdk.serve.workers import Job, Workers


async def _until(condition: object) -> None:
    for _ in range(500):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 5 s")


async def _items(job: Job[int]) -> list[int]:
    found = []
    while (item := await job.next()) is not None:
        found.append(item)
    return found


def test_items_arrive_in_order_and_the_place_is_free_again() -> None:
    async def run() -> None:
        workers = Workers(1, 0)
        with workers.admit() as slot:
            job = slot.start(lambda _: (number for number in (1, 2, 3)))
        assert await _items(job) == [1, 2, 3]
        await _until(lambda: workers.waiting == workers.running == 0)
        with workers.admit():
            pass
        workers.close()

    asyncio.run(run())


def test_one_too_many_is_told_when_to_come_back() -> None:
    workers = Workers(1, 2)
    slots = [workers.admit() for _ in range(3)]
    with pytest.raises(QueueFullError):
        workers.admit()
    assert workers.retry_after >= 1
    with slots[0]:
        pass
    workers.admit()
    workers.close()


def test_errors_of_the_work_reach_whoever_waits() -> None:
    def work(_: Cancellation) -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    async def run() -> None:
        workers = Workers(1, 0)
        job = workers.start(work)
        assert await job.next() == 1
        with pytest.raises(ValueError, match="broken"):
            await job.next()
        workers.close()

    asyncio.run(run())


def test_a_cancelled_job_stops_within_an_item_and_closes_its_work() -> None:
    closed, go = threading.Event(), threading.Event()

    def work(_: Cancellation) -> Generator[int, None, None]:
        try:
            for number in range(10**9):
                yield number
                go.wait(5)
        finally:
            closed.set()

    async def run() -> None:
        workers = Workers(1, 0)
        with workers.admit() as slot:
            job = slot.start(work)
        assert await job.next() == 0
        job.cancel()
        go.set()
        await _until(closed.is_set)
        await _until(lambda: workers.running == 0 and workers.waiting == 0)
        workers.close()

    asyncio.run(run())


def test_a_job_cancelled_while_it_waits_never_starts() -> None:
    started, go = [], threading.Event()

    def first(_: Cancellation) -> Generator[int, None, None]:
        go.wait(5)
        yield 1

    def second(_: Cancellation) -> Generator[int, None, None]:
        started.append(True)
        yield 2

    async def run() -> None:
        workers = Workers(1, 1)
        workers.start(first)
        with workers.admit() as slot:
            slot.start(second).cancel()
        await _until(lambda: workers.waiting == 0)
        go.set()
        workers.close()

    asyncio.run(run())
    assert not started
