"""A request's body to a job, and the job to the request's answer, all within one deadline."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends
from starlette.requests import Request

from ftsdk.asynchronous import Job, Work
from ftsdk.cancellation import Cancellation
from ftsdk.serve.clients import client_of
from ftsdk.serve.deadline import Deadline
from ftsdk.serve.service import Service
from ftsdk.serve.streaming import messages
from ftsdk.serve.uploads import read_body

T = TypeVar("T")


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]


@dataclass(frozen=True)
class Underway(Generic[T]):
    """A request that is worked on."""

    job: Job[T]
    request: Request
    deadline: Deadline

    def items(self) -> AsyncGenerator[T, None]:
        """Yield what the work yields; see `messages`."""
        return messages(self.job, self.request, self.deadline)

    async def last(self) -> T:
        """Return the last item; raises what `items` raises."""
        items = [item async for item in self.items()]
        return items[-1]


async def start(
    request: Request, service: Service, limit: int, work_of: Callable[[bytes, Deadline], Work[T]]
) -> Underway[T]:
    """Read a body of at most `limit` bytes, and queue the work that it asks for.

    The time-out runs from here, where a request's head has been read and nothing of its body.

    Raises:
        RequestError, ImageSizeError, QueueFullError: the body is not taken.
    """
    deadline = Deadline(service.settings.timeout)
    hold = service.budget.hold(client_of(request.scope))
    with ExitStack() as undone:
        undone.callback(hold.release)
        seconds = min(service.settings.upload_timeout, deadline.seconds)
        body = await read_body(request, limit, seconds, hold)
        job = service.workers.start(hold.client, work_of(body, deadline), hold.release)
        undone.pop_all()
    return Underway(job, request, deadline)


async def drawn(request: Request, service: Service, draw: Callable[[], T]) -> T:
    """Return what a short work returns; it is done in a drawer's thread, in the client's turn."""

    def work(_: Cancellation) -> Generator[T, None, None]:
        yield draw()

    job = service.drawers.start(client_of(request.scope), work)
    return await Underway(job, request, Deadline(service.settings.timeout)).last()
