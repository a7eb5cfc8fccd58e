"""The API of kept answers: fetch, draw, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Depends, Path, Query
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from ftsdk.imaging.drawing import colour_heatmap, overlay
from ftsdk.imaging.encode import encode_png
from ftsdk.report.page import render
from ftsdk.serve.analyses import ID_PATTERN, Analysis
from ftsdk.serve.documents import (
    AnalysisDocument,
    analysis_document,
    compact,
    probabilities_png,
)
from ftsdk.serve.errors import answers
from ftsdk.serve.intake import Serving, drawn

T = TypeVar("T")
router = APIRouter(prefix="/v1/analyses/{key}")

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox allow-modals"
)
_ERRORS = answers(404, 422, 503, 504)
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": _BINARY}}, **_ERRORS}

Key = Annotated[str, Path(pattern=ID_PATTERN)]
Threshold = Annotated[float | None, Query(ge=0, le=1)]


class Kept:
    """A kept analysis, not yet read."""

    def __init__(self, request: Request, service: Serving, key: Key) -> None:
        self._request, self._service, self._key = request, service, key

    async def draw(self, make: Callable[[Analysis], T]) -> T:
        """Return what `make` returns of it, in a drawer's thread."""
        store = self._service.store
        return await drawn(self._request, self._service, lambda: make(store.get(self._key)))

    async def delete(self) -> None:
        """Delete it."""

        def gone() -> bool:
            self._service.store.delete(self._key)
            return True

        await drawn(self._request, self._service, gone)


Asked = Annotated[Kept, Depends()]


@router.get("", responses={200: {"model": AnalysisDocument}, **_ERRORS})
async def analysis(kept: Asked) -> Response:
    """Return a kept answer."""
    document = await kept.draw(lambda one: compact(analysis_document(one)))
    return Response(document, media_type="application/json")


@router.delete("", status_code=204, responses=_ERRORS)
async def forget(kept: Asked) -> Response:
    """Delete a kept answer and its picture; 204 says that nothing of it is left."""
    await kept.delete()
    return Response(status_code=204)


@router.get("/picture.png", responses=_PNG, response_class=Response)
async def picture_png(kept: Asked) -> Response:
    """Return the picture as it was analysed: upright, without metadata."""
    return await _png(kept.draw(lambda one: encode_png(one.result.picture.pixels)))


@router.get("/mask.png", responses=_PNG, response_class=Response)
async def mask_png(kept: Asked, threshold: Threshold = None) -> Response:
    """Return the mask at the picture's size, white inside."""
    return await _png(
        kept.draw(lambda one: encode_png(_cut(one, threshold).astype(np.uint8) * 255))
    )


@router.get("/heatmap.png", responses=_PNG, response_class=Response)
async def heatmap_png(kept: Asked) -> Response:
    """Return the probabilities at the picture's size, in colours."""
    return await _png(kept.draw(lambda one: encode_png(colour_heatmap(one.result.heatmap))))


@router.get("/overlay.png", responses=_PNG, response_class=Response)
async def overlay_png(kept: Asked, threshold: Threshold = None) -> Response:
    """Return the picture with the mask drawn over it."""

    def over(one: Analysis) -> bytes:
        result = one.result
        return encode_png(overlay(result.picture.pixels, result.heatmap, _cut(one, threshold)))

    return await _png(kept.draw(over))


@router.get("/probabilities.png", responses=_PNG, response_class=Response)
async def raw_probabilities(kept: Asked) -> Response:
    """Return the probabilities at the model's resolution, grey, 255 for 1."""
    return await _png(kept.draw(lambda one: probabilities_png(one.result.probabilities)))


@router.get(
    "/report.html",
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **_ERRORS},
    response_class=Response,
)
async def report_html(
    kept: Asked,
    analyst: Annotated[str | None, Query(max_length=120)] = None,
    download: bool = False,
) -> Response:
    """Return the report file; `download` asks the browser to save it."""

    def written(one: Analysis) -> tuple[str, str]:
        document = render(one.result, one.credentials, analyst=analyst, edits=one.edits)
        return document, one.result.picture.name

    document, name = await kept.draw(written)
    kind = "attachment" if download else "inline"
    disposition = f"{kind}; filename*=UTF-8''{quote(name, safe='')}.report.html"
    headers = {"Content-Security-Policy": _REPORT_POLICY, "Content-Disposition": disposition}
    return Response(document.encode(), headers=headers, media_type="text/html; charset=utf-8")


def _cut(one: Analysis, threshold: float | None) -> NDArray[np.bool_]:
    result = one.result
    return result.mask if threshold is None else result.heatmap > threshold


async def _png(content: Awaitable[bytes]) -> Response:
    return Response(await content, media_type="image/png")
