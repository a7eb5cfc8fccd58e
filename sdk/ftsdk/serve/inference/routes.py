"""`/v2`: what KServe, Triton's clients and gateways ask."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from ftsdk.errors import ModelNotFoundError, RequestError
from ftsdk.serve.documents import json_body
from ftsdk.serve.inference.documents import (
    INPUTS,
    OUTPUTS,
    PLATFORM,
    VERSION,
    InferenceAnswer,
    InferenceErrorDocument,
    InferenceRequest,
    LiveDocument,
    ModelMetadata,
    ModelReadyDocument,
    ReadyDocument,
    ServerDocument,
    Tensor,
    TensorDocument,
    request_limits,
)
from ftsdk.serve.inference.work import infer
from ftsdk.serve.intake import Serving, start
from ftsdk.serve.service import Service
from ftsdk.version import __version__

router = APIRouter(prefix="/v2")

HEADER_LENGTH = "Inference-Header-Content-Length"
_MODEL, _VERSIONED = "/models/{name}", "/models/{name}/versions/{version}"
_WITH_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    always = {401, 403, 429, 500}
    return {status: {"model": InferenceErrorDocument} for status in sorted({*always, *statuses})}


def _body() -> dict[str, Any]:
    entry = json_body(InferenceRequest)
    entry["requestBody"]["content"]["application/octet-stream"] = _WITH_BINARY
    return entry


_INFER: dict[str, Any] = {
    "responses": {
        200: {
            "model": InferenceAnswer,
            "content": {"application/octet-stream": _WITH_BINARY},
        },
        **_refusals(400, 404, 413, 415, 422, 503, 504),
    },
    "openapi_extra": _body(),
}


class Named:
    """The model of a request's path.

    Raises:
        ModelNotFoundError: another name or version than is loaded.
    """

    def __init__(
        self, service: Serving, name: Annotated[str, Path()], version: str = VERSION
    ) -> None:
        service.check_ready()
        if (name, version) != (service.name, VERSION):
            raise ModelNotFoundError(
                "no such model is loaded",
                expected=f"the model '{service.name}', version {VERSION}",
                found=f"'{name[:200]}', version {version[:40]}",
                cure="ask for that one, or start ft-serve with another --bundle",
            )
        self.service = service


@router.get("", responses=_refusals())
async def server() -> ServerDocument:
    """Return the server's name, version and extensions."""
    return ServerDocument(name=PLATFORM, version=__version__, extensions=["binary_tensor_data"])


@router.get("/health/live", responses=_refusals())
async def live() -> LiveDocument:
    """Answer while the process lives."""
    return LiveDocument(live=True)


@router.get("/health/ready", responses=_refusals(503))
async def ready(service: Serving) -> ReadyDocument:
    """Answer 200 once the golden picture has been analysed, 503 before and while stopping."""
    service.check_ready()
    return ReadyDocument(ready=True)


@router.get(f"{_MODEL}/ready", responses=_refusals(404, 422, 503))
async def model_ready(service: Serving, name: str) -> ModelReadyDocument:
    """Answer 200 when the model takes requests."""
    return ModelReadyDocument(name=Named(service, name).service.name, ready=True)


@router.get(f"{_VERSIONED}/ready", responses=_refusals(404, 422, 503))
async def version_ready(service: Serving, name: str, version: str) -> ModelReadyDocument:
    """Answer 200 when the model of this version takes requests."""
    return ModelReadyDocument(name=Named(service, name, version).service.name, ready=True)


@router.get(_MODEL, responses=_refusals(404, 422, 503))
async def model(service: Serving, name: str) -> ModelMetadata:
    """Return what the model takes and gives."""
    return _metadata(Named(service, name).service)


@router.get(_VERSIONED, responses=_refusals(404, 422, 503))
async def version(service: Serving, name: str, version: str) -> ModelMetadata:
    """Return what the model of this version takes and gives."""
    return _metadata(Named(service, name, version).service)


@router.post(f"{_MODEL}/infer", **_INFER)
async def infer_model(request: Request, service: Serving, name: str) -> Response:
    """Analyse one picture."""
    return await _infer(request, Named(service, name).service)


@router.post(f"{_VERSIONED}/infer", **_INFER)
async def infer_version(request: Request, service: Serving, name: str, version: str) -> Response:
    """Analyse one picture by the model of this version."""
    return await _infer(request, Named(service, name, version).service)


async def _infer(request: Request, service: Service) -> Response:
    length = _header_length(request)
    limit = request_limits(service.settings.max_bytes).nbytes
    underway = await start(
        request, service, limit, lambda body, deadline: infer(service, body, length, deadline)
    )
    answer = await underway.last()
    if answer.header_length is None:
        return Response(answer.body, media_type="application/json")
    headers = {HEADER_LENGTH: str(answer.header_length)}
    return Response(answer.body, headers=headers, media_type="application/octet-stream")


def _header_length(request: Request) -> int | None:
    encoding = request.headers.get("content-encoding", "identity")
    given = request.headers.get(HEADER_LENGTH)
    plain = given is None or (given.isascii() and given.isdigit() and len(given) < 12)
    if encoding == "identity" and plain:
        return None if given is None else int(given)
    raise RequestError(
        "the request is encoded in another way than is taken",
        expected=f"no Content-Encoding, and a whole number of bytes as {HEADER_LENGTH} or none",
        found=f"{encoding[:40]}, {given or 'none'}"[:200],
        cure="send the tensors without compression",
    )


def _metadata(service: Service) -> ModelMetadata:
    return ModelMetadata(
        name=service.name,
        versions=[VERSION],
        platform=PLATFORM,
        inputs=_described(INPUTS),
        outputs=_described(OUTPUTS),
    )


def _described(tensors: tuple[Tensor, ...]) -> list[TensorDocument]:
    return [
        TensorDocument(name=one.name, datatype=one.datatype, shape=list(one.shape))
        for one in tensors
    ]
