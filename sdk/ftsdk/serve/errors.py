"""Errors as HTTP answers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ftsdk.errors import (
    AnalysisCancelledError,
    AnalysisNotFoundError,
    FtsdkError,
    ImageFormatError,
    ImageSizeError,
    InputError,
    NotReadyError,
    QueueFullError,
    RequestError,
    TokenError,
)
from ftsdk.serve.access import refuse
from ftsdk.serve.documents import ErrorDocument
from ftsdk.serve.service import Service
from ftsdk.serve.streaming import ClientGoneError
from ftsdk.serve.uploads import discard

# The first class that fits; what is not here is a fault of the service.
_STATUS: tuple[tuple[type[FtsdkError], int], ...] = (
    (ImageSizeError, 413),
    (ImageFormatError, 415),
    (InputError, 422),
    (RequestError, 400),
    (TokenError, 401),
    (AnalysisNotFoundError, 404),
    (QueueFullError, 429),
    (NotReadyError, 503),
    (AnalysisCancelledError, 504),
)
_CLIENT_CLOSED = 499
_READY_SOON = 2


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entry of these refusals; 401 and 403 can come anywhere."""
    return {status: {"model": ErrorDocument} for status in sorted({401, 403, *statuses})}


def install(app: FastAPI, service: Service) -> None:
    """Answer every error with an `ErrorDocument`."""

    async def typed(request: Request, error: Exception) -> Response:
        assert isinstance(error, FtsdkError)
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        service.metrics.refused.labels(type(error).__name__).inc()
        headers = {}
        if isinstance(error, (QueueFullError, NotReadyError)):
            wait = service.workers.retry_after if status == 429 else _READY_SOON
            headers = {"Retry-After": str(wait)}
            await discard(request, service.settings.max_bytes)
        return refuse(status, error, headers)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return refuse(422, _from_validation(error))

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        described = RequestError(
            "there is nothing to be had here in this way",
            expected="a path and method of GET /openapi.json",
            found=str(error.detail)[:200],
            cure="see GET /openapi.json",
        )
        return refuse(error.status_code, described, dict(error.headers or {}))

    async def gone(_: Request, error: Exception) -> Response:
        del error
        return Response(status_code=_CLIENT_CLOSED)

    app.add_exception_handler(FtsdkError, typed)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientGoneError, gone)
    app.add_exception_handler(ClientDisconnect, gone)


def _from_validation(error: RequestValidationError) -> RequestError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return RequestError(
        f"the request does not fit: {where}"[:200],
        expected=str(first["msg"])[:200],
        found=repr(first.get("input"))[:200],
        cure="see GET /openapi.json",
    )
