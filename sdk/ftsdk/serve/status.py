"""Is it alive, is it ready, what does it run, how much does it do, and who may come in?"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ftsdk.serve.access import COOKIE, SESSION_PATH, missing_token, same, session_of
from ftsdk.serve.bodies import parse_json
from ftsdk.serve.clients import TokenThrottle, client_of
from ftsdk.serve.documents import (
    SESSION_LIMITS,
    ErrorDocument,
    ModelDocument,
    SessionRequest,
    json_body,
)
from ftsdk.serve.errors import answers
from ftsdk.serve.intake import Serving
from ftsdk.serve.service import Service
from ftsdk.serve.uploads import read_body

router = APIRouter()
_SESSION_SECONDS = 12 * 3600
_SESSION_BODY = json_body(SessionRequest)


class StatusDocument(BaseModel):
    """`ok`, in one field."""

    status: str


@router.get("/healthz")
async def healthz() -> StatusDocument:
    """Answer while the process lives."""
    return StatusDocument(status="ok")


@router.get("/readyz", responses={503: {"model": ErrorDocument}})
async def readyz(service: Serving) -> StatusDocument:
    """Answer 200 once the golden picture has been analysed, 503 before and while stopping."""
    service.check_ready()
    return StatusDocument(status="ok")


@router.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **answers()},
    response_class=Response,
)
async def metrics(service: Serving) -> Response:
    """Return the counters in Prometheus' text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/model", responses=answers(503))
async def model(service: Serving) -> ModelDocument:
    """Return what is loaded, and what the service takes."""
    return ModelDocument(**service.model)


@router.post(
    SESSION_PATH, status_code=204, responses=answers(400, 413, 422), openapi_extra=_SESSION_BODY
)
async def session(request: Request, service: Serving) -> Response:
    """Give a browser a cookie for its token; scripts cannot read it, other sites cannot use it."""
    client = client_of(request.scope)
    body = await _small_body(request, service, client)
    wish = await asyncio.to_thread(parse_json, SessionRequest, body, SESSION_LIMITS)
    token = service.settings.token
    if token is None:
        return Response(status_code=204)
    right = same(wish.token, token)
    throttle: TokenThrottle = request.app.state.throttle
    throttle.tell(client, right)
    if not right:
        raise missing_token()
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        session_of(token),
        max_age=_SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def _small_body(request: Request, service: Service, client: str) -> bytes:
    hold = service.budget.hold(client)
    try:
        limit, seconds = SESSION_LIMITS.nbytes, service.settings.upload_timeout
        return await read_body(request, limit, seconds, hold)
    finally:
        hold.release()
