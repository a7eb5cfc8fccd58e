"""A request's body to a job, and the job to the request's answer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Annotated, TypeVar

from fastapi import Depends
from starlette.requests import Request

from ftsdk.asynchronous import Job, Work
from ftsdk.cancellation import Cancellation
from ftsdk.serve.clients import client_of
from ftsdk.serve.service import Service
from ftsdk.serve.streaming import messages
from ftsdk.serve.uploads import read_body

T = TypeVar("T")


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]


async def start(
    request: Request, service: Service, limit: int, work_of: Callable[[bytes], Work[T]]
) -> Job[T]:
    """Read a body of at most `limit` bytes, and queue the work that it asks for.

    Raises:
        RequestError, ImageSizeError, QueueFullError: the body is not taken.
    """
    hold = service.budget.hold(client_of(request.scope))
    with ExitStack() as undone:
        undone.callback(hold.release)
        body = await read_body(request, limit, service.settings.upload_timeout, hold)
        job = service.workers.start(hold.client, work_of(body), hold.release)
        undone.pop_all()
    return job


async def last(job: Job[T], request: Request, service: Service) -> T:
    """Return the last item of a job."""
    items = [item async for item in messages(job, request, service.settings.timeout)]
    return items[-1]


async def drawn(request: Request, service: Service, draw: Callable[[], T]) -> T:
    """Return what a short work returns; it is done in a drawer's thread, in the client's turn."""

    def work(_: Cancellation) -> Generator[T, None, None]:
        yield draw()

    job = service.drawers.start(client_of(request.scope), work)
    return await last(job, request, service)
