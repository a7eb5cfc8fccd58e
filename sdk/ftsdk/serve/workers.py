"""A bounded, fair queue before a few threads, and jobs that can be given up at any moment.

Work is long and holds the CPU, so none runs on the event loop. Clients take turns: whoever has
fewer pictures under way goes first, then whoever was served less recently, then whoever came
first. Beyond the queue a request waits a few seconds for a place before it is refused, so that a
client that comes back when it is told to does not lose its turn to those that ask without a pause.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from ftsdk.asynchronous import Job, Work
from ftsdk.errors import QueueFullError

T = TypeVar("T")
# How much the newest analysis counts in the mean that Retry-After is made of.
_NEWEST = 0.2
#: Seconds that a request waits for a place in the queue.
PATIENCE = 5.0
#: Requests that may wait for a place.
_LINE = 64
_REMEMBERED = 4096


@dataclass(eq=False)
class _Entry:
    client: str
    make: Work[Any]
    ended: Callable[[], None]
    overdue: bool = False


class Workers:
    """`count` threads, and `queue` places to wait for one. All but the work is for the event loop.

    Attributes:
        patience: seconds that a request beyond the queue waits for a place.
    """

    def __init__(self, count: int, queue: int, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="ftsdk-worker")
        self._count, self._queue = count, queue
        self._waiting: dict[Job[Any], _Entry] = {}  # in the order of arrival
        self._clients: Counter[str] = Counter()  # that a thread works for
        self._served: OrderedDict[str, int] = OrderedDict()  # when, in pictures
        self._pictures = 0
        self._mean_seconds = 1.0

    @property
    def running(self) -> int:
        """Analyses that a thread works on."""
        return self._clients.total()

    @property
    def waiting(self) -> int:
        """Analyses that have no thread yet."""
        return len(self._waiting)

    @property
    def retry_after(self) -> int:
        """Seconds, at least 1, after which a place is likely to be free."""
        ahead = self.running + self.waiting
        return max(1, math.ceil(self._mean_seconds * ahead / self._count))

    def start(self, client: str, make: Work[T], ended: Callable[[], None] = lambda: None) -> Job[T]:
        """Queue a client's work; the job raises QueueFullError where there is no place.

        Args:
            client: whom to be fair to.
            make: the work.
            ended: called once, when the work has stopped or will never start.
        """
        job: Job[T] = Job(self._leave)
        self._waiting[job] = _Entry(client, make, ended)
        self._dispatch()
        beyond = self._beyond()
        if len(beyond) > _LINE:
            self._refuse(beyond[-1])
        asyncio.get_running_loop().call_later(self.patience, self._lose_patience, job)
        return job

    def close(self) -> None:
        """Wait for the threads; no work can be queued afterwards."""
        self._threads.shutdown()

    def _in_turn(self) -> list[Job[Any]]:
        """Return who waits, whose turn is first foremost."""
        ahead = self._clients.copy()
        ranks: dict[Job[Any], tuple[int, int]] = {}
        for job, entry in self._waiting.items():
            ranks[job] = ahead[entry.client], self._served.get(entry.client, 0)
            ahead[entry.client] += 1
        return sorted(self._waiting, key=ranks.__getitem__)

    def _beyond(self) -> list[Job[Any]]:
        return self._in_turn()[self._queue :]

    def _dispatch(self) -> None:
        while self._waiting and self.running < self._count:
            job = self._in_turn()[0]
            entry = self._waiting.pop(job)
            self._clients[entry.client] += 1
            self._note_turn(entry.client)
            self._threads.submit(self._run, job, entry)
        for job in self._beyond():
            if self._waiting[job].overdue:
                self._refuse(job)

    def _note_turn(self, client: str) -> None:
        self._pictures += 1
        self._served[client] = self._pictures
        self._served.move_to_end(client)
        if len(self._served) > _REMEMBERED:
            self._served.popitem(last=False)

    def _run(self, job: Job[Any], entry: _Entry) -> None:
        start = time.perf_counter()
        job.work(entry.make)
        job.tell_loop(self._finished, entry, time.perf_counter() - start)

    def _finished(self, entry: _Entry, spent: float) -> None:
        self._clients[entry.client] -= 1
        if not self._clients[entry.client]:
            del self._clients[entry.client]
        self._mean_seconds += _NEWEST * (spent - self._mean_seconds)
        entry.ended()
        self._dispatch()

    def _lose_patience(self, job: Job[Any]) -> None:
        if job in self._waiting:
            self._waiting[job].overdue = True
            self._dispatch()

    def _refuse(self, job: Job[Any]) -> None:
        job.refuse(
            QueueFullError(
                "as many pictures wait already as may",
                expected=f"at most {self._count + self._queue} at a time",
                found=f"{self.running + self.waiting}",
                cure=f"try again in {self.retry_after} s",
            )
        )
        self._leave(job)

    def _leave(self, job: Job[Any]) -> None:
        entry = self._waiting.pop(job, None)
        if entry:
            entry.ended()
