"""Jobs to HTTP answers, for as long as the client is there and the time allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from time import monotonic

from starlette.requests import Request

from ftsdk.asynchronous import Job, T
from ftsdk.errors import AnalysisCancelledError
from ftsdk.serve.deadline import Deadline
from ftsdk.serve.documents import compact, error_document
from ftsdk.serve.faults import described
from ftsdk.serve.message import Message

# What a worker has left to tell of its own time-out, before it is told in its place.
_GRACE = 0.5


class ClientGoneError(Exception):
    """Nobody is there to be answered."""


async def messages(job: Job[T], request: Request, deadline: Deadline) -> AsyncGenerator[T, None]:
    """Yield a job's items; cancel it when the client goes away or the caller stops.

    Raises:
        ClientGoneError: the connection was closed.
        AnalysisCancelledError: the deadline passed.
        FtsdkError: the work failed.
    """
    end = monotonic() + deadline.left + _GRACE
    gone = asyncio.ensure_future(_gone(request))
    step: asyncio.Future[T | None] | None = None
    try:
        while True:
            step = asyncio.ensure_future(job.next())
            left = max(0.0, end - monotonic())
            await asyncio.wait({step, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise ClientGoneError if gone.done() else _too_slow(deadline.seconds)
            item = step.result()
            if item is None:
                return
            yield item
    finally:
        job.cancel()
        gone.cancel()
        if step:
            step.cancel()


async def server_sent(first: Message, rest: AsyncIterator[Message]) -> AsyncIterator[str]:
    """Yield messages as Server-Sent Events; a failure becomes the event `error`."""
    yield _event(first)
    try:
        async for message in rest:
            yield _event(message)
    except ClientGoneError:
        return
    except Exception as error:
        yield _event(Message("error", compact(error_document(described(error)))))


def _event(message: Message) -> str:
    # JSON has no raw line breaks, so one data line holds it.
    return f"event: {message.kind}\ndata: {message.data}\n\n"


def _too_slow(seconds: float) -> AnalysisCancelledError:
    return AnalysisCancelledError(
        "the time-out passed",
        expected=f"an answer within {seconds:g} s, upload and waiting included",
        found="none",
        cure="try again later, or raise --timeout",
    )


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
