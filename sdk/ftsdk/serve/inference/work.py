"""A request of the protocol: parsed, analysed and answered, all in a worker's thread."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from ftsdk.asynchronous import Work
from ftsdk.cancellation import Cancellation
from ftsdk.errors import RequestError
from ftsdk.serve.analyses import Analysis
from ftsdk.serve.bodies import parse_with_files
from ftsdk.serve.deadline import Deadline
from ftsdk.serve.inference.documents import (
    OUTPUTS,
    PICTURE,
    PIXELS,
    REGIONS,
    VERSION,
    InferenceAnswer,
    InferenceRequest,
    OutputTensor,
    OutputWish,
    Tensor,
    request_limits,
)
from ftsdk.serve.inference.tensors import Given, assign, encode_binary, encode_json, shape_of
from ftsdk.serve.inference.values import Options, picture_input, value_of
from ftsdk.serve.picture_file import Asked
from ftsdk.serve.service import Service


@dataclass(frozen=True)
class Encoded:
    """An answer as it leaves: JSON, and behind it the binary part where one was asked for."""

    body: bytes
    header_length: int | None


def infer(
    service: Service, body: bytes, header_length: int | None, deadline: Deadline
) -> Work[Encoded]:
    """Return the work of one inference request.

    Args:
        service: what analyses.
        body: JSON, and behind it the binary part.
        header_length: bytes of the JSON; None is all of it.
        deadline: when it is given up.

    Raises (when run):
        RequestError: it is not what the protocol or the model takes.
        InputError: the picture is at fault.
    """

    def work(cancellation: Cancellation) -> Generator[Encoded, None, None]:
        head, binary = _parts(body, header_length)
        limits = request_limits(service.settings.max_bytes)
        request, long = parse_with_files(InferenceRequest, head, limits)
        wishes = _wishes(request)
        asked = _asked(request, assign(request.inputs, binary, long))
        with closing(service.analysis(asked, deadline, cancellation)) as items:
            for item in items:
                if isinstance(item, Analysis):
                    yield _encoded(request, wishes, item, service.name)

    return work


def _parts(body: bytes, header_length: int | None) -> tuple[bytes, memoryview]:
    end = len(body) if header_length is None else header_length
    if end > len(body):
        raise RequestError(
            "the body ends before its JSON does",
            expected=f"{end} bytes of JSON, as the header says",
            found=f"{len(body)} bytes",
            cure="send Inference-Header-Content-Length as the JSON's size, or leave it out",
        )
    return body[:end], memoryview(body)[end:]


def _asked(request: InferenceRequest, given: dict[str, Given]) -> Asked:
    name = picture_input(given)
    options = Options.of(request.parameters)
    regions = given.get(REGIONS.name)
    names = [name.decode(errors="replace") for name in regions.strings()] if regions else None
    if name == PICTURE.name:
        data = given[PICTURE.name].file()
    else:
        data = options.as_file(given[PIXELS.name].pixels()[0])
    return Asked(options.upload(data), names, options.report)


def _wishes(request: InferenceRequest) -> list[tuple[Tensor, bool]]:
    """Return the outputs that are asked for, and which of them in binary."""
    known = {tensor.name: tensor for tensor in OUTPUTS}
    asked = request.outputs or [OutputWish(name=name) for name in known]
    strange = [one.name for one in asked if one.name not in known]
    if strange:
        raise RequestError(
            "this output is not given",
            expected=", ".join(known),
            found=strange[0],
            cure="see GET /v2/models/NAME",
        )
    default = request.parameters.get("binary_data_output", False)
    return [(known[one.name], bool(one.parameters.get("binary_data", default))) for one in asked]


def _encoded(
    request: InferenceRequest, wishes: list[tuple[Tensor, bool]], analysis: Analysis, name: str
) -> Encoded:
    outputs, parts = [], []
    for tensor, binary in wishes:
        value = value_of(tensor, analysis)
        output = OutputTensor(name=tensor.name, shape=shape_of(value), datatype=tensor.datatype)
        if binary:
            parts.append(encode_binary(value))
            output.parameters = {"binary_data_size": len(parts[-1])}
        else:
            output.data = encode_json(tensor, value)
        outputs.append(output)
    answer = InferenceAnswer(model_name=name, model_version=VERSION, id=request.id, outputs=outputs)
    head = answer.model_dump_json(exclude_none=True).encode()
    return Encoded(head + b"".join(parts), len(head) if parts else None)
