"""uvicorn, with limits on connections and on what clients may take their time for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ftsdk.serve.connections import Connections
from ftsdk.serve.settings import QUEUED, Settings

# Longer than clients and proxies keep idle connections, so that they close them, not we: a request
# that crosses our closing would be lost.
_KEEP_ALIVE = 75
# Connections that are accepted before their first bytes are read: fewer than an address may have,
# so that no crowd pushes one out whose request has come with it.
_ACCEPTED = 16
# Seconds in which the system waits for a connection's first bytes before we hear of it.
_SILENT = 5


class _Server(uvicorn.Server):
    """Tells when it listens, and says so as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], app: FastAPI) -> None:
        super().__init__(config)
        self._tell_started, self._service = started, app.state.service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(QUEUED)  # asyncio accepts as many at once as it lets queue
        if self.started:
            self._tell_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.draining = True
        super().handle_exit(sig, frame)


def serve_on(
    listening: socket.socket, app: FastAPI, settings: Settings, started: Callable[[], None]
) -> None:
    """Serve until a signal says otherwise; `started` is called when requests are taken."""
    connections = Connections(settings.connections)
    if hasattr(socket, "TCP_DEFER_ACCEPT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SILENT)
    config = uvicorn.Config(
        app,
        http=connections.protocol,  # type: ignore[arg-type]
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(settings.proxies),
        backlog=_ACCEPTED,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=round(settings.timeout),
    )
    _Server(config, started, app).run(sockets=[listening])
