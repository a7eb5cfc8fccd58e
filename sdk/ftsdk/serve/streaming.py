"""Jobs to HTTP answers, for as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from ftsdk.errors import FtsdkError
from ftsdk.serve.documents import compact, error_document
from ftsdk.serve.service import Message
from ftsdk.serve.workers import Job


class ClientGoneError(Exception):
    """Nobody is there to be answered."""


async def messages(job: Job[Message], request: Request) -> AsyncIterator[Message]:
    """Yield a job's messages; cancel it when the client goes away or the caller stops.

    Raises:
        ClientGoneError: the connection was closed.
        FtsdkError: the work failed.
    """
    gone = asyncio.ensure_future(_gone(request))
    step: asyncio.Future[Message | None] | None = None
    try:
        while True:
            step = asyncio.ensure_future(job.next())
            await asyncio.wait({step, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise ClientGoneError
            message = step.result()
            if message is None:
                return
            yield message
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
    except FtsdkError as error:
        yield _event(Message("error", compact(error_document(error))))


def _event(message: Message) -> str:
    # JSON has no raw line breaks, so one data line holds it.
    return f"event: {message.kind}\ndata: {message.data}\n\n"


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
