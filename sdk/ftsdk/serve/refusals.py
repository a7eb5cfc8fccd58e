"""Errors as HTTP answers, whatever was raised."""

from __future__ import annotations

from starlette.responses import Response

from ftsdk.errors import (
    AnalysisCancelledError,
    AnalysisNotFoundError,
    ConnectionsError,
    FtsdkError,
    ImageFormatError,
    ImageSizeError,
    ImageTooSmallError,
    InputError,
    ModelNotFoundError,
    NotReadyError,
    QueueFullError,
    RequestError,
    StoreError,
    StoreFullError,
    ThrottledError,
    TokenError,
)
from ftsdk.serve.documents import compact, error_document
from ftsdk.serve.faults import sentence

#: Paths of the Open Inference Protocol, whose errors are one sentence.
INFERENCE = "/v2"

# The first class that fits; what is not here is a fault of the service.
_STATUS: tuple[tuple[type[FtsdkError], int], ...] = (
    (ImageTooSmallError, 422),
    (ImageSizeError, 413),
    (ImageFormatError, 415),
    (InputError, 422),
    (RequestError, 400),
    (TokenError, 401),
    (AnalysisNotFoundError, 404),
    (ModelNotFoundError, 404),
    (ThrottledError, 429),
    (QueueFullError, 429),
    (ConnectionsError, 503),
    (NotReadyError, 503),
    (StoreError, 503),
    (AnalysisCancelledError, 504),
    (StoreFullError, 507),
)


def status_of(error: FtsdkError) -> int:
    """Return the HTTP status that tells an error's kind."""
    return next((code for kind, code in _STATUS if isinstance(error, kind)), 500)


def error_body(path: str, error: FtsdkError) -> str:
    """Return the JSON that tells an error on a path."""
    if path.startswith(INFERENCE):
        return compact({"error": sentence(error)})
    return compact(error_document(error))


def refuse(
    path: str, status: int, error: FtsdkError, headers: dict[str, str] | None = None
) -> Response:
    """Return an error as its JSON answer."""
    body = error_body(path, error).encode(errors="replace")
    return Response(body, status, headers, "application/json")
