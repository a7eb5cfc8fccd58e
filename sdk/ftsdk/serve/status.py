"""Is it alive, is it ready, what does it run, how much does it do, and who may come in?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ftsdk.serve.access import COOKIE, missing_token, same, session_of
from ftsdk.serve.documents import ErrorDocument, ModelDocument, SessionRequest
from ftsdk.serve.errors import answers
from ftsdk.serve.service import Service

router = APIRouter()
_SESSION_SECONDS = 12 * 3600


class StatusDocument(BaseModel):
    """`ok`, in one field."""

    status: str


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]


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


@router.post("/v1/session", status_code=204, responses=answers(422))
async def session(request: Request, service: Serving, wish: SessionRequest) -> Response:
    """Give a browser a cookie for its token; scripts cannot read it, other sites cannot use it."""
    token = service.settings.token
    if token is None:
        return Response(status_code=204)
    if not same(wish.token, token):
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
