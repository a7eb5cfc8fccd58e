"""The JSON of the protocol, and what the model takes and gives in its words.

Source: https://github.com/kserve/open-inference-protocol (REST, and the binary tensor extension).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ftsdk.serve.bodies import JsonLimits

PLATFORM = "ftsdk"
VERSION = "1"
#: Elements of a tensor in JSON; larger ones travel in binary. While JSON is parsed or written, no
#: other thread of Python runs.
MOST_ELEMENTS = 1 << 18
# A pixel's three numbers may have one of their own, and each row.
_MOST_CONTAINERS = MOST_ELEMENTS * 3 // 8
_MOST_TENSORS = 8
_JSON_OVERHEAD = 64 << 10

Parameters = dict[str, bool | int | float | str]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model: its name, type, and its shape for one picture; -1 is any length."""

    name: str
    datatype: str
    dims: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in a request of `ft-serve`: the first side counts pictures, as in Triton."""
        return (1, *self.dims)


PICTURE = Tensor("picture", "BYTES", (1,))
PIXELS = Tensor("pixels", "UINT8", (-1, -1, 3))
REGIONS = Tensor("regions", "BYTES", (-1,))
ANSWER = Tensor("answer", "BYTES", (1,))
MASK = Tensor("mask", "BOOL", (-1, -1))
HEATMAP = Tensor("heatmap", "FP32", (-1, -1))
INPUTS, OUTPUTS = (PICTURE, PIXELS, REGIONS), (ANSWER, MASK, HEATMAP)


def request_limits(max_bytes: int) -> JsonLimits:
    """Return what an inference request may hold: a picture of `max_bytes` in base64."""
    nbytes = -(-max_bytes // 3) * 4 + _JSON_OVERHEAD
    return JsonLimits(nbytes, strings=1024, containers=_MOST_CONTAINERS, values=MOST_ELEMENTS + 256)


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class InputTensor(_Strict):
    """An input; without `data` it is in the binary part, `binary_data_size` bytes of it."""

    name: str = Field(max_length=200)
    shape: list[int] = Field(max_length=8)
    datatype: str = Field(max_length=20)
    parameters: Parameters = {}
    data: list[Any] | None = None


class OutputWish(_Strict):
    """An output that the client wants."""

    name: str = Field(max_length=200)
    parameters: Parameters = {}


class InferenceRequest(_Strict):
    """A request: one of `picture` and `pixels`, and `regions` to use those of a user."""

    id: str | None = Field(None, max_length=200)
    parameters: Parameters = {}
    inputs: list[InputTensor] = Field(max_length=_MOST_TENSORS)
    outputs: list[OutputWish] | None = Field(None, max_length=_MOST_TENSORS)


class _Closed(BaseModel):
    # The protocol's own names begin with `model_`, which pydantic warns of.
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class TensorDocument(_Closed):
    """A tensor that the model takes or gives."""

    name: str
    datatype: str
    shape: list[int]


class ServerDocument(_Closed):
    """The server, and which extensions of the protocol it speaks."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(_Closed):
    """The model in the protocol's words."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorDocument]
    outputs: list[TensorDocument]


class LiveDocument(_Closed):
    """Whether the server lives."""

    live: bool


class ReadyDocument(_Closed):
    """Whether the server takes requests."""

    ready: bool


class ModelReadyDocument(_Closed):
    """Whether the model takes requests."""

    name: str
    ready: bool


class OutputTensor(_Closed):
    """An output; without `data` it is in the binary part, `binary_data_size` bytes of it."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: list[Any] | None = None


class InferenceAnswer(_Closed):
    """The answer to a request."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class InferenceErrorDocument(_Closed):
    """Every answer of the protocol that is no success: one sentence with its cause and cure."""

    error: str
