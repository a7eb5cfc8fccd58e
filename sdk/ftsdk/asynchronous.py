"""A generator that holds the CPU, read from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ftsdk.cancellation import Cancellation

T = TypeVar("T")
_END = object()


async def in_thread(
    make: Callable[[Cancellation], Generator[T, None, None]],
) -> AsyncGenerator[T, None]:
    """Yield what the generator yields; it runs in a thread, and only while it is waited for.

    Closing this, or cancelling its task, cancels what `make` was given and does not wait for it.
    """
    loop, cancellation = asyncio.get_running_loop(), Cancellation()
    thread = ThreadPoolExecutor(1, thread_name_prefix="ftsdk-async")
    items = make(cancellation)
    try:
        while (item := await loop.run_in_executor(thread, next, items, _END)) is not _END:
            yield item  # type: ignore[misc]
    finally:
        cancellation.cancel()
        thread.submit(items.close)
        thread.shutdown(wait=False)
