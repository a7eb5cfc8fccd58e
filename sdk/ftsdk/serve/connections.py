"""Connections: how many, from where, and how long a client may take for each step of a request.

What uvicorn leaves open: a head that never ends, a body that nobody reads, an answer that the
client does not take, and sockets without number. Where there are too many, those that wait for
their client make room, first those that never had a whole request, the oldest foremost; a request
that is being answered never does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from ftsdk.errors import ConnectionsError, FtsdkError, RequestError
from ftsdk.serve.clients import network_of
from ftsdk.serve.documents import compact, error_document

#: One address may have this share of the connections.
_SHARE = 4
_HEAD_BYTES = 16 << 10
# A chunk of a body takes some 20 µs of the event loop, whatever its size. So each costs as many
# bytes as this, beyond a thousand that are free.
_CHUNK_BYTES = 512
_MOST_CREDIT = 1000 * _CHUNK_BYTES


@dataclass(frozen=True)
class Patience:
    """Seconds that a client may take.

    Attributes:
        head: for a request's line and headers, from its first byte or the connection on.
        rest: for what is left of a body when the answer is already sent.
        progress: for taking 32 KiB of an answer that waits to be sent.
        upload: after which an upload makes room where connections are short.
    """

    head: float = 10.0
    rest: float = 5.0
    progress: float = 20.0
    upload: float = 5.0


_LEAST_PROGRESS = 32 << 10


class _Owed(Enum):
    """What the client has yet to do."""

    NOTHING = "nothing"
    HEAD = "the rest of a request's head"
    REST = "the rest of a body"


@dataclass
class Connections:
    """All that are open, at most `limit`, and at most a quarter of that from one address."""

    limit: int
    patience: Patience = field(default_factory=Patience)
    _open: dict[Connection, str] = field(default_factory=dict)  # in the order of arrival

    def protocol(self, **parameters: Any) -> Connection:
        """Return the protocol of a new connection, as uvicorn asks for one."""
        return Connection(self, **parameters)

    def enter(self, connection: Connection, address: str) -> bool:
        """Take a connection in; False where none would make room for it."""
        network = network_of(address)
        same = [one for one, other in self._open.items() if other == network]
        if len(same) >= max(1, self.limit // _SHARE):
            crowd: Iterable[Connection] = same
        elif len(self._open) >= self.limit:
            crowd = list(self._open)
        else:
            crowd = ()
        if crowd and not self._make_room(crowd):
            return False
        self._open[connection] = network
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.pop(connection, None)

    def _make_room(self, crowd: Iterable[Connection]) -> bool:
        for waits in (Connection.unproven, Connection.idle, Connection.uploading):
            victim = next(filter(waits, crowd), None)
            if victim is not None:
                self.leave(victim)
                victim.transport.abort()
                return True
        return False


class _Parser(h11.Connection):
    """h11, which refuses a body of very many tiny chunks."""

    _credit = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._credit = _MOST_CREDIT
        elif isinstance(event, h11.Data):
            cost = _CHUNK_BYTES if event.chunk_end else 0
            self._credit = min(self._credit + len(event.data), _MOST_CREDIT) - cost
            if self._credit < 0:
                raise h11.RemoteProtocolError("too many tiny chunks")
        return event


class Connection(H11Protocol):
    """uvicorn's protocol with a clock for everything that the client owes."""

    def __init__(self, connections: Connections, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.conn = _Parser(h11.SERVER, _HEAD_BYTES)
        self._connections = connections
        self._patience = connections.patience
        self._owed = _Owed.NOTHING
        self._clock: asyncio.TimerHandle | None = None
        self._progress_clock: asyncio.TimerHandle | None = None
        self._begun = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if self._connections.enter(self, address):
            self._expect(_Owed.HEAD)
        else:
            self._refuse(503, _too_many())

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self)
        self._expect(_Owed.NOTHING)
        self._stop_watching_progress()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._begun = self.loop.time()
        if self._answering():
            self._expect(_Owed.NOTHING)
        elif self.conn.their_state is h11.SEND_BODY:
            self._expect(_Owed.REST)
        else:
            self._expect(_Owed.HEAD)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._answering():
            rest = self.conn.their_state is h11.SEND_BODY
            self._expect(_Owed.REST if rest else _Owed.NOTHING)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_progress(None)

    def resume_writing(self) -> None:
        self._stop_watching_progress()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(400, _no_http(msg))

    def unproven(self) -> bool:
        """Say whether no whole request has come yet."""
        return self.cycle is None

    def idle(self) -> bool:
        """Say whether no request is under way."""
        return not self._answering()

    def uploading(self) -> bool:
        """Say whether a body has been arriving for long."""
        late = self.loop.time() - self._begun > self._patience.upload
        return self.conn.their_state is h11.SEND_BODY and late

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect(self, owed: _Owed) -> None:
        """Start the clock of what is owed; one that runs already goes on."""
        if owed is self._owed:
            return
        self._owed = owed
        if self._clock:
            self._clock.cancel()
            self._clock = None
        if owed is not _Owed.NOTHING:
            seconds = self._patience.head if owed is _Owed.HEAD else self._patience.rest
            self._clock = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        if self._owed is _Owed.HEAD and self.conn.trailing_data[0]:
            self._refuse(408, _slow_head(self._patience.head))
        else:
            self.transport.abort()

    def _watch_progress(self, before: int | None) -> None:
        waiting = self.transport.get_write_buffer_size()
        if before is not None and before - waiting < _LEAST_PROGRESS:
            self.transport.abort()
            return
        self._progress_clock = self.loop.call_later(
            self._patience.progress, self._watch_progress, waiting
        )

    def _stop_watching_progress(self) -> None:
        if self._progress_clock:
            self._progress_clock.cancel()
            self._progress_clock = None

    def _refuse(self, status: int, error: FtsdkError) -> None:
        body = compact(error_document(error)).encode(errors="replace")
        head = (
            b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\nRetry-After: 1\r\n\r\n"
        )
        self.transport.write(head % (status, STATUS_PHRASES[status], len(body)) + body)
        self.transport.close()


def _too_many() -> ConnectionsError:
    return ConnectionsError(
        "too many connections are open",
        expected="fewer connections from this address, or from all",
        found="none that could be closed in favour of this one",
        cure="try again in a second, or start ft-serve with more --connections",
    )


def _slow_head(seconds: float) -> ConnectionsError:
    return ConnectionsError(
        "the request took too long to begin",
        expected=f"its line and headers within {seconds:g} s",
        found="a part of them",
        cure="send the request at once",
    )


def _no_http(found: str) -> RequestError:
    return RequestError(
        "this is no HTTP request",
        expected="HTTP/1.1 with a head of at most 16 KiB, and a body in few chunks",
        found=found[:200],
        cure="use an HTTP client",
    )
