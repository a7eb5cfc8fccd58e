"""Generators that hold the CPU, run in threads and read from an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from ftsdk.cancellation import Cancellation

T = TypeVar("T")
Work = Callable[[Cancellation], Generator[T, None, None]]


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


class Job(Generic[T]):
    """Work whose items arrive while a thread makes them; made on the loop that reads them.

    Args:
        leave: called when the work is given up.
        in_step: make an item only once it is asked for, instead of running ahead.
    """

    def __init__(
        self, leave: Callable[[Job[T]], None] = lambda _: None, in_step: bool = False
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = leave
        # Bounded by what the work yields, which is one item a token.
        self._arrived: asyncio.Queue[T | _End] = asyncio.Queue()
        self._cancellation = Cancellation()
        self._asked = threading.Semaphore(0) if in_step else None

    def work(self, make: Work[T]) -> None:
        """Run in a thread: hand over every item, and stop after one once cancelled."""
        try:
            with closing(make(self._cancellation)) as items:
                while self._is_wanted():
                    item = next(items, _End())
                    self.tell_loop(self._arrived.put_nowait, item)
                    if isinstance(item, _End) or self._cancellation.cancelled:
                        return
        except BaseException as error:
            self.tell_loop(self._arrived.put_nowait, _End(error))

    async def next(self) -> T | None:
        """Return the next item, None at the end, or raise what the work raised."""
        if self._asked:
            self._asked.release()
        item = await self._arrived.get()
        if not isinstance(item, _End):
            return item
        if item.error:
            raise item.error
        return None

    def refuse(self, error: BaseException) -> None:
        """End without having begun."""
        self._arrived.put_nowait(_End(error))

    def cancel(self) -> None:
        """Give the work up; its thread stops within an operator of the graph that it runs."""
        self._cancellation.cancel()
        if self._asked:
            self._asked.release()
        self._leave(self)

    def tell_loop(self, call: Callable[..., object], *values: object) -> None:
        """Call something on the event loop, from a thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(call, *values)

    def _is_wanted(self) -> bool:
        """Wait until an item is asked for, where the work goes in step; false once given up."""
        if self._asked is None:
            return True
        self._asked.acquire()
        return not self._cancellation.cancelled


async def in_thread(make: Work[T]) -> AsyncGenerator[T, None]:
    """Yield what the generator yields; it runs in a thread, and only while it is waited for.

    Closing this, or cancelling its task, cancels what `make` was given and does not wait for it.
    """
    job: Job[T] = Job(in_step=True)
    thread = ThreadPoolExecutor(1, thread_name_prefix="ftsdk-async")
    thread.submit(job.work, make)
    try:
        while (item := await job.next()) is not None:
            yield item
    finally:
        job.cancel()
        thread.shutdown(wait=False)
