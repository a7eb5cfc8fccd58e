"""The API: analyse and correct."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ftsdk.serve.documents import (
    MAX_REGIONS,
    REFINE_LIMITS,
    AnalysisDocument,
    RefineRequest,
    json_body,
)
from ftsdk.serve.errors import answers
from ftsdk.serve.intake import Serving, Underway, start
from ftsdk.serve.message import Message
from ftsdk.serve.service import Service
from ftsdk.serve.streaming import server_sent
from ftsdk.serve.uploads import FIELD, Body, check_media_type

router = APIRouter(prefix="/v1")

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "properties": {FIELD: {"type": "string", "format": "binary"}},
        "required": [FIELD],
    }
}
_PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": _FORM,
            **dict.fromkeys(
                ("image/jpeg", "image/png", "image/webp", "application/octet-stream"), _BINARY
            ),
        },
    }
}
_REFINE_BODY = json_body(RefineRequest)
_STREAM: dict[str, Any] = {
    "description": "Server-Sent Events: regions, mask, token..., finished (an AnalysisDocument); "
    "or error (an ErrorDocument)",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
_WORK_ERRORS = answers(400, 413, 415, 422, 429, 503, 504, 507)


class AnalyzeOptions(BaseModel):
    """The query of an analysis."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("picture", max_length=500, description="File name of a bare body.")
    regions: list[str] | None = Field(
        None, max_length=MAX_REGIONS, description="Use these regions, not those the model finds."
    )
    report: bool = Field(True, description="False stops at the mask.")


Options = Annotated[AnalyzeOptions, Query()]


@router.post(
    "/analyze",
    responses={200: {"model": AnalysisDocument}, **_WORK_ERRORS},
    openapi_extra=_PICTURE_BODY,
)
async def analyze(request: Request, service: Serving, options: Options) -> Response:
    """Analyse one picture and return the whole answer."""
    return await _answer(await _start_analysis(request, service, options))


@router.post(
    "/analyze/stream", responses={200: _STREAM, **_WORK_ERRORS}, openapi_extra=_PICTURE_BODY
)
async def analyze_stream(request: Request, service: Serving, options: Options) -> Response:
    """Analyse one picture and send regions, mask and words as they become known."""
    return await _stream(await _start_analysis(request, service, options))


@router.post(
    "/refine",
    responses={200: {"model": AnalysisDocument}, **_WORK_ERRORS, **answers(404)},
    openapi_extra=_REFINE_BODY,
)
async def refine(request: Request, service: Serving) -> Response:
    """Answer again with the user's regions or mask; the picture is not encoded again."""
    return await _answer(await _start_refinement(request, service))


@router.post(
    "/refine/stream",
    responses={200: _STREAM, **_WORK_ERRORS, **answers(404)},
    openapi_extra=_REFINE_BODY,
)
async def refine_stream(request: Request, service: Serving) -> Response:
    """Answer again, and send regions, mask and words as they become known."""
    return await _stream(await _start_refinement(request, service))


async def _start_analysis(
    request: Request, service: Service, options: AnalyzeOptions
) -> Underway[Message]:
    service.check_ready()
    kind = request.headers.get("content-type", "")
    check_media_type(kind)
    return await start(
        request,
        service,
        service.settings.max_bytes,
        lambda data, deadline: service.analyze(
            Body(data, kind, options.name), options.regions, options.report, deadline
        ),
    )


async def _start_refinement(request: Request, service: Service) -> Underway[Message]:
    service.check_ready()
    return await start(request, service, REFINE_LIMITS.nbytes, service.refine)


async def _answer(underway: Underway[Message]) -> Response:
    finished = await underway.last()
    return Response(finished.data, media_type="application/json")


async def _stream(underway: Underway[Message]) -> Response:
    arriving = underway.items()
    # A picture at fault is told by its status, so the first message decides about the headers.
    first = await anext(arriving)
    return StreamingResponse(server_sent(first, arriving), media_type="text/event-stream")
