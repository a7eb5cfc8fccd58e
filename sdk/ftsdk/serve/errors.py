"""Every error of the application as an answer."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ftsdk.errors import FtsdkError, NotReadyError, QueueFullError, RequestError
from ftsdk.serve.documents import ErrorDocument
from ftsdk.serve.faults import described
from ftsdk.serve.refusals import refuse, status_of
from ftsdk.serve.service import Service
from ftsdk.serve.streaming import ClientGoneError

_CLIENT_CLOSED = 499
_READY_SOON = 2


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entry of these refusals; 401, 403, 429 and 500 can come anywhere."""
    return {status: {"model": ErrorDocument} for status in sorted({401, 403, 429, 500, *statuses})}


class Unfailing:
    """Answers what no handler knows with an ErrorDocument."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started |= message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            await refuse(scope["path"], 500, described(error))(scope, receive, send)


def install(app: FastAPI, service: Service) -> None:
    """Answer every error with an `ErrorDocument`."""

    async def typed(request: Request, error: Exception) -> Response:
        assert isinstance(error, FtsdkError)
        status = status_of(error)
        service.metrics.refused.labels(type(error).__name__).inc()
        headers = {}
        if isinstance(error, QueueFullError | NotReadyError):
            wait = service.workers.retry_after if status == 429 else _READY_SOON
            headers = {"Retry-After": str(wait)}
        return refuse(request.url.path, status, error, headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return refuse(request.url.path, 422, _from_validation(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        nothing = RequestError(
            "there is nothing to be had here in this way",
            expected="a path and method of GET /openapi.json",
            found=str(error.detail)[:200],
            cure="see GET /openapi.json",
        )
        return refuse(request.url.path, error.status_code, nothing, dict(error.headers or {}))

    async def gone(_: Request, error: Exception) -> Response:
        del error
        return Response(status_code=_CLIENT_CLOSED)

    app.add_exception_handler(FtsdkError, typed)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientGoneError, gone)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_middleware(Unfailing)


def _from_validation(error: RequestValidationError) -> RequestError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return RequestError(
        f"the request does not fit: {where}"[:200],
        expected=str(first["msg"])[:200],
        found=repr(first.get("input"))[:200],
        cure="see GET /openapi.json",
    )
