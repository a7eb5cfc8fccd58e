"""A bounded queue before a few threads, and jobs that can be given up at any moment.

Analyses are long and hold the CPU, so none runs on the event loop. A slot is taken before the
upload is read, which bounds memory too, and is free again when its thread has really stopped.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from ftsdk.cancellation import Cancellation
from ftsdk.errors import QueueFullError

T = TypeVar("T")
Work = Callable[[Cancellation], Generator[T, None, None]]
# How much the newest analysis counts in the mean that Retry-After is made of.
_NEWEST = 0.2


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


class Job(Generic[T]):
    """Work whose items arrive while a thread makes them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Bounded by what the work yields, which is one item a token.
        self._arrived: asyncio.Queue[T | _End] = asyncio.Queue()
        self._cancellation = Cancellation()
        self.future: Future[None] | None = None

    def work(self, make: Work[T]) -> None:
        """Run in a worker's thread: hand over every item, and stop after one once cancelled."""
        if self._cancellation.cancelled:
            return
        try:
            with closing(make(self._cancellation)) as items:
                for item in items:
                    self._tell(item)
                    if self._cancellation.cancelled:
                        return
            self._tell(_End())
        except BaseException as error:
            self._tell(_End(error))

    async def next(self) -> T | None:
        """Return the next item, None at the end, or raise what the work raised."""
        item = await self._arrived.get()
        if not isinstance(item, _End):
            return item
        if item.error:
            raise item.error
        return None

    def cancel(self) -> None:
        """Give the work up; its thread stops within an operator of the graph that it runs."""
        self._cancellation.cancel()
        if self.future:
            self.future.cancel()

    def _tell(self, item: T | _End) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, item)


class Workers:
    """`count` threads, and `queue` places to wait for one."""

    def __init__(self, count: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="ftsdk-worker")
        self._count, self._capacity = count, count + queue
        self._admitted = 0
        self._running = 0
        self._mean_seconds = 1.0
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Analyses that a thread works on."""
        return self._running

    @property
    def waiting(self) -> int:
        """Analyses that have a place and no thread yet."""
        return max(0, self._admitted - self._running)

    @property
    def retry_after(self) -> int:
        """Seconds, at least 1, after which a place is likely to be free."""
        return max(1, math.ceil(self._mean_seconds * self._admitted / self._count))

    def admit(self) -> Slot:
        """Take a place; use it as a context manager.

        Raises:
            QueueFullError: all are taken.
        """
        with self._lock:
            if self._admitted >= self._capacity:
                raise QueueFullError(
                    "as many pictures wait already as may",
                    expected=f"at most {self._capacity} at a time",
                    found=f"{self._admitted}",
                    cure=f"try again in {self.retry_after} s",
                )
            self._admitted += 1
        return Slot(self)

    def start(self, make: Work[T]) -> Job[T]:
        """Queue work for a thread."""
        job: Job[T] = Job(asyncio.get_running_loop())
        job.future = self._threads.submit(self._run, job, make)
        return job

    def release(self, _: object = None) -> None:
        """Give a place back."""
        with self._lock:
            self._admitted -= 1

    def close(self) -> None:
        """Wait for the threads; no work can be queued afterwards."""
        self._threads.shutdown()

    def _run(self, job: Job[T], make: Work[T]) -> None:
        with self._lock:
            self._running += 1
        start = time.perf_counter()
        try:
            job.work(make)
        finally:
            spent = time.perf_counter() - start
            with self._lock:
                self._running -= 1
                self._mean_seconds += _NEWEST * (spent - self._mean_seconds)


class Slot:
    """A place in the queue, held until its work has stopped, or the block ends without work."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._future: Future[None] | None = None

    def start(self, make: Work[T]) -> Job[T]:
        """Queue this slot's work."""
        job = self._workers.start(make)
        self._future = job.future
        return job

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        if self._future is None:
            self._workers.release()
        else:
            self._future.add_done_callback(self._workers.release)
