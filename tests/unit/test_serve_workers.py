"""The queue: how many come in, what a cancelled job stops, when a place is free again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from ftsdk.asynchronous import Job, Work
from ftsdk.cancellation import Cancellation
from ftsdk.errors import QueueFullError
from ftsdk.serve.workers import Workers


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


def _numbers(*numbers: int) -> Work[int]:
    def work(_: Cancellation) -> Generator[int, None, None]:
        yield from numbers

    return work


def _until_told(go: threading.Event, begun: list[str], name: str) -> Work[int]:
    def work(_: Cancellation) -> Generator[int, None, None]:
        begun.append(name)
        go.wait(5)
        yield 1

    return work


def test_items_arrive_in_order_and_the_place_is_free_again() -> None:
    async def run() -> None:
        workers = Workers(1, 0)
        ended: list[int] = []
        for number in range(2):
            job = workers.start("a", _numbers(1, 2, 3), lambda number=number: ended.append(number))  # type: ignore[misc]
            assert await _items(job) == [1, 2, 3]
            await _until(lambda: workers.waiting == workers.running == 0)
        assert ended == [0, 1]
        workers.close()

    asyncio.run(run())


def test_one_too_many_waits_for_a_place_and_is_then_told_when_to_come_back() -> None:
    go, begun = threading.Event(), list[str]()

    async def run() -> None:
        workers = Workers(1, 1, patience=0.05)
        taken = [workers.start("a", _until_told(go, begun, "a")) for _ in range(2)]
        ended = threading.Event()
        late = workers.start("a", _numbers(1), ended.set)
        with pytest.raises(QueueFullError):
            await late.next()
        assert ended.is_set()
        assert workers.retry_after >= 1
        assert (workers.running, workers.waiting) == (1, 1)
        patient = Workers(1, 0, patience=5)
        patient.start("a", _until_told(go, begun, "a"))
        next_in_line = patient.start("a", _numbers(7))
        go.set()
        assert await _items(next_in_line) == [7]
        assert [await _items(job) for job in taken] == [[1], [1]]
        workers.close()
        patient.close()

    asyncio.run(run())


def test_the_line_for_a_place_is_bounded() -> None:
    go = threading.Event()

    async def run() -> None:
        workers = Workers(1, 2, patience=60)
        jobs = [workers.start("a", _until_told(go, [], "a")) for _ in range(200)]
        assert workers.waiting == 2 + 64
        with pytest.raises(QueueFullError):
            await jobs[-1].next()
        for job in jobs:
            job.cancel()
        assert workers.waiting == 0
        go.set()
        workers.close()

    asyncio.run(run())


def test_clients_take_turns() -> None:
    go, begun = threading.Event(), list[str]()

    async def run() -> None:
        workers = Workers(1, 8)
        for _ in range(4):
            workers.start("flooder", _until_told(go, begun, "flooder"))
        for name in ("polite", "second"):
            workers.start(name, _until_told(go, begun, name))
        go.set()
        await _until(lambda: len(begun) == 6)
        workers.close()

    asyncio.run(run())
    assert begun == ["flooder", "polite", "second", "flooder", "flooder", "flooder"]


def test_a_full_queue_makes_room_for_a_client_that_has_no_place() -> None:
    go = threading.Event()

    async def run() -> None:
        workers = Workers(1, 2, patience=0.05)
        crowd = [workers.start("flooder", _until_told(go, [], "flooder")) for _ in range(3)]
        await asyncio.sleep(0.1)
        polite = workers.start("polite", _numbers(5))
        with pytest.raises(QueueFullError):
            await crowd[-1].next()
        go.set()
        assert await _items(polite) == [5]
        assert await _items(crowd[1]) == [1]
        workers.close()

    asyncio.run(run())


def test_errors_of_the_work_reach_whoever_waits() -> None:
    def work(_: Cancellation) -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    async def run() -> None:
        workers = Workers(1, 0)
        job = workers.start("a", work)
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
        job = workers.start("a", work)
        assert await job.next() == 0
        job.cancel()
        go.set()
        await _until(closed.is_set)
        await _until(lambda: workers.running == 0 and workers.waiting == 0)
        workers.close()

    asyncio.run(run())


def test_a_job_cancelled_while_it_waits_never_starts() -> None:
    begun, go = list[str](), threading.Event()

    async def run() -> None:
        workers = Workers(1, 1)
        workers.start("a", _until_told(go, begun, "first"))
        workers.start("a", _until_told(go, begun, "second")).cancel()
        assert workers.waiting == 0
        go.set()
        await _until(lambda: workers.running == 0)
        workers.close()

    asyncio.run(run())
    assert begun == ["first"]
