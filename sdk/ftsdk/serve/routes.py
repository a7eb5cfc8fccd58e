"""The API: analyse, correct, fetch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ftsdk.errors import RequestError
from ftsdk.imaging.drawing import colour_heatmap, overlay
from ftsdk.imaging.encode import encode_png
from ftsdk.report.page import render
from ftsdk.serve.analyses import ID_PATTERN, Analysis
from ftsdk.serve.documents import (
    MAX_REGIONS,
    AnalysisDocument,
    RefineRequest,
    analysis_document,
    compact,
    probabilities_png,
)
from ftsdk.serve.errors import answers
from ftsdk.serve.service import Message, Service
from ftsdk.serve.streaming import messages, server_sent
from ftsdk.serve.uploads import FIELD, MAX_JSON_BYTES, read_body, read_upload
from ftsdk.serve.workers import Job, Work

router = APIRouter(prefix="/v1")
# Drawing is short, but no work for the event loop; two at a time bound its memory.
_drawers = ThreadPoolExecutor(2, thread_name_prefix="ftsdk-drawer")

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
_REFINE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RefineRequest"}}},
    }
}
_STREAM: dict[str, Any] = {
    "description": "Server-Sent Events: regions, mask, token..., finished (an AnalysisDocument); "
    "or error (an ErrorDocument)",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox allow-modals"
)
_WORK_ERRORS = answers(400, 413, 415, 422, 429, 503, 504)
_FETCH_ERRORS = answers(404, 422, 503)


class AnalyzeOptions(BaseModel):
    """The query of an analysis."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("picture", max_length=500, description="File name of a bare body.")
    regions: list[str] | None = Field(
        None, max_length=MAX_REGIONS, description="Use these regions, not those the model finds."
    )
    report: bool = Field(True, description="False stops at the mask.")


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _fetch(request: Request, key: Annotated[str, Path(pattern=ID_PATTERN)]) -> Callable[..., Any]:
    """Return a function that runs `draw(analysis)` in a drawer's thread."""
    store = _service(request).store

    async def drawn(draw: Callable[[Analysis], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            _drawers, lambda: draw(store.get(key))
        )

    return drawn


Serving = Annotated[Service, Depends(_service)]
Options = Annotated[AnalyzeOptions, Query()]
Draw = Annotated[Callable[..., Any], Depends(_fetch)]
Threshold = Annotated[float | None, Query(ge=0, le=1)]


@router.post(
    "/analyze",
    responses={200: {"model": AnalysisDocument}, **_WORK_ERRORS},
    openapi_extra=_PICTURE_BODY,
)
async def analyze(request: Request, service: Serving, options: Options) -> Response:
    """Analyse one picture and return the whole answer."""
    return await _answer(await _start_analysis(request, service, options), request)


@router.post(
    "/analyze/stream", responses={200: _STREAM, **_WORK_ERRORS}, openapi_extra=_PICTURE_BODY
)
async def analyze_stream(request: Request, service: Serving, options: Options) -> Response:
    """Analyse one picture and send regions, mask and words as they become known."""
    return await _stream(await _start_analysis(request, service, options), request)


@router.post(
    "/refine",
    responses={200: {"model": AnalysisDocument}, **_WORK_ERRORS, **answers(404)},
    openapi_extra=_REFINE_BODY,
)
async def refine(request: Request, service: Serving) -> Response:
    """Answer again with the user's regions or mask; the picture is not encoded again."""
    return await _answer(await _start_refinement(request, service), request)


@router.post(
    "/refine/stream",
    responses={200: _STREAM, **_WORK_ERRORS, **answers(404)},
    openapi_extra=_REFINE_BODY,
)
async def refine_stream(request: Request, service: Serving) -> Response:
    """Answer again, and send regions, mask and words as they become known."""
    return await _stream(await _start_refinement(request, service), request)


@router.get("/analyses/{key}", responses={200: {"model": AnalysisDocument}, **_FETCH_ERRORS})
async def analysis(draw: Draw) -> Response:
    """Return a kept answer."""
    document = await draw(lambda kept: compact(analysis_document(kept)))
    return Response(document, media_type="application/json")


@router.delete("/analyses/{key}", status_code=204, responses=_FETCH_ERRORS)
async def forget(service: Serving, key: Annotated[str, Path(pattern=ID_PATTERN)]) -> Response:
    """Delete a kept answer and its picture."""
    await asyncio.get_running_loop().run_in_executor(_drawers, service.store.delete, key)
    return Response(status_code=204)


def _png_answer() -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"image/png": _BINARY}}, **_FETCH_ERRORS}


@router.get("/analyses/{key}/picture.png", responses=_png_answer(), response_class=Response)
async def picture_png(draw: Draw) -> Response:
    """Return the picture as it was analysed: upright, without metadata."""
    return _png(await draw(lambda kept: encode_png(kept.result.picture.pixels)))


@router.get("/analyses/{key}/mask.png", responses=_png_answer(), response_class=Response)
async def mask_png(draw: Draw, threshold: Threshold = None) -> Response:
    """Return the mask at the picture's size, white inside."""
    return _png(await draw(lambda kept: encode_png(_cut(kept, threshold).astype(np.uint8) * 255)))


@router.get("/analyses/{key}/heatmap.png", responses=_png_answer(), response_class=Response)
async def heatmap_png(draw: Draw) -> Response:
    """Return the probabilities at the picture's size, in colours."""
    return _png(await draw(lambda kept: encode_png(colour_heatmap(kept.result.heatmap))))


@router.get("/analyses/{key}/overlay.png", responses=_png_answer(), response_class=Response)
async def overlay_png(draw: Draw, threshold: Threshold = None) -> Response:
    """Return the picture with the mask drawn over it."""

    def drawn(kept: Analysis) -> bytes:
        result = kept.result
        return encode_png(overlay(result.picture.pixels, result.heatmap, _cut(kept, threshold)))

    return _png(await draw(drawn))


@router.get("/analyses/{key}/probabilities.png", responses=_png_answer(), response_class=Response)
async def raw_probabilities(draw: Draw) -> Response:
    """Return the probabilities at the model's resolution, grey, 255 for 1."""
    return _png(await draw(lambda kept: probabilities_png(kept.result.probabilities)))


@router.get(
    "/analyses/{key}/report.html",
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **_FETCH_ERRORS},
    response_class=Response,
)
async def report_html(
    draw: Draw,
    analyst: Annotated[str | None, Query(max_length=120)] = None,
    download: bool = False,
) -> Response:
    """Return the report file; `download` asks the browser to save it."""

    def written(kept: Analysis) -> tuple[str, str]:
        document = render(kept.result, analyst=analyst, edits=kept.edits, original=kept.original)
        return document, kept.result.picture.name

    document, name = await draw(written)
    kind = "attachment" if download else "inline"
    disposition = f"{kind}; filename*=UTF-8''{quote(name, safe='')}.report.html"
    headers = {"Content-Security-Policy": _REPORT_POLICY, "Content-Disposition": disposition}
    return Response(document.encode(), headers=headers, media_type="text/html; charset=utf-8")


async def _start_analysis(
    request: Request, service: Service, options: AnalyzeOptions
) -> Job[Message]:
    service.check_ready()
    with service.workers.admit() as slot:
        upload = await read_upload(request, options.name, service.settings)
        return slot.start(service.analyze(upload, options.regions, options.report))


async def _start_refinement(request: Request, service: Service) -> Job[Message]:
    service.check_ready()
    with service.workers.admit() as slot:
        body = await read_body(request, MAX_JSON_BYTES, service.settings.upload_timeout)
        work: Work[Message] = service.refine(_refinement(body))
        return slot.start(work)


def _refinement(body: bytes) -> RefineRequest:
    try:
        wish = RefineRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise _bad_refinement(f"{where}: {first['msg']}"[:300]) from error
    if wish.regions is None and wish.mask is None:
        raise _bad_refinement("neither")
    return wish


def _bad_refinement(found: str) -> RequestError:
    return RequestError(
        "the correction is not valid",
        expected="a JSON object RefineRequest with regions, a mask, or both",
        found=found,
        cure="see GET /openapi.json",
    )


async def _answer(job: Job[Message], request: Request) -> Response:
    *_, finished = [message async for message in messages(job, request)]
    return Response(finished.data, media_type="application/json")


async def _stream(job: Job[Message], request: Request) -> Response:
    arriving = messages(job, request)
    # A picture at fault is told by its status, so the first message decides about the headers.
    first = await anext(arriving)
    return StreamingResponse(server_sent(first, arriving), media_type="text/event-stream")


def _cut(kept: Analysis, threshold: float | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
    result = kept.result
    return result.mask if threshold is None else result.heatmap > threshold


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png")
