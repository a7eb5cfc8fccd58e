"""Tensors of the protocol to bytes and arrays, and back."""

from __future__ import annotations

import base64
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import RequestError
from ftsdk.serve.bodies import LongString, check_all_used
from ftsdk.serve.inference.documents import INPUTS, MOST_ELEMENTS, PICTURE, InputTensor, Tensor

_LENGTH = struct.Struct("<I")
_BINARY_SIZE = "binary_data_size"


@dataclass(frozen=True)
class Given:
    """An input as it came.

    Attributes:
        tensor: its description.
        binary: its bytes, where it is in the binary part.
        long: its one element, where it is a long string.
    """

    tensor: InputTensor
    binary: memoryview | None
    long: LongString | None

    def strings(self) -> list[bytes]:
        """Return the elements of a BYTES tensor; in JSON they are text.

        Raises:
            RequestError: they are no strings, or not as many as the shape says.
        """
        if self.binary is None:
            found = [_text(self.tensor, one) for one in self.tensor.data or []]
        else:
            found = _split(self.tensor, self.binary)
        self._check_count(len(found))
        return found

    def file(self) -> bytes:
        """Return the one file of a BYTES tensor; in JSON it is base64.

        Raises:
            RequestError: it is none.
        """
        content = b"" if self.long else self.strings()[0]
        if self.binary is not None:
            return content
        try:
            return self.long.file() if self.long else base64.b64decode(content, validate=True)
        except ValueError as error:
            raise _wrong(self.tensor, "a file in base64, or in binary", str(error)) from error

    def pixels(self) -> NDArray[np.uint8]:
        """Return a UINT8 tensor as an array [*shape] uint8 of the shape that it was sent with.

        Raises:
            RequestError: it holds something else, or not as much as the shape says.
        """
        shape = self.tensor.shape
        if self.binary is not None:
            self._check_count(len(self.binary))
            return np.frombuffer(self.binary, np.uint8).reshape(shape)
        values = _numbers(self.tensor)
        self._check_count(values.size)
        if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
            raise _wrong(self.tensor, "whole numbers from 0 to 255", str(values.dtype))
        return values.astype(np.uint8).reshape(shape)

    def _check_count(self, found: int) -> None:
        expected = math.prod(self.tensor.shape)
        if found != expected:
            shape = f"{expected} elements for the shape {self.tensor.shape}"
            raise _wrong(self.tensor, shape, f"{found}")


def assign(
    inputs: list[InputTensor], binary: memoryview, long: dict[str, LongString]
) -> dict[str, Given]:
    """Return the inputs by name, each with its share of the binary part and of the long strings.

    Raises:
        RequestError: a name, type or shape that the model does not take, or one name twice; or the
            binary part is longer or shorter than they say; or a long string is no picture.
    """
    given: dict[str, Given] = {}
    at = 0
    pictures = [_take(tensor, long) for tensor in inputs]
    check_all_used(long)
    for tensor, picture in zip(inputs, pictures, strict=True):
        _check(tensor, given)
        size = tensor.parameters.get(_BINARY_SIZE)
        if size is None and tensor.data is None:
            raise _wrong(tensor, f"data, or the parameter {_BINARY_SIZE}", "neither")
        if size is not None:
            if tensor.data is not None or isinstance(size, bool | str | float) or size < 0:
                raise _wrong(tensor, f"a whole {_BINARY_SIZE}, and no data", f"{size}"[:40])
            at += size
        part = None if size is None else binary[at - size : at]
        given[tensor.name] = Given(tensor, part, picture)
    if at != len(binary):
        found = f"{len(binary)} bytes in the binary part"
        raise _bad_request("the binary part does not fit", f"{at} bytes, as the inputs say", found)
    return given


def encode_json(tensor: Tensor, value: bytes | NDArray[Any]) -> list[Any]:
    """Return the elements of a tensor [...] in raster order, as JSON takes them.

    Raises:
        RequestError: there are too many.
    """
    if isinstance(value, bytes):
        return [value.decode()]
    if value.size > MOST_ELEMENTS:
        raise _bad_request(
            f"the output '{tensor.name}' is too large for JSON",
            f"at most {MOST_ELEMENTS} elements",
            f"{value.size}; ask for it with the parameter binary_data, or for other outputs",
        )
    return value.reshape(-1).tolist()


def encode_binary(value: bytes | NDArray[Any]) -> bytes:
    """Return the elements of a tensor [...] in raster order, as the binary extension has them."""
    if isinstance(value, bytes):
        return _LENGTH.pack(len(value)) + value
    return value.tobytes()


def shape_of(value: bytes | NDArray[Any]) -> list[int]:
    """Return the shape of one picture's output; bytes are one element: [1, 1]."""
    return [1, 1] if isinstance(value, bytes) else [1, *value.shape]


def _check(tensor: InputTensor, given: dict[str, Given]) -> None:
    known = {one.name: one for one in INPUTS}
    wanted = known.get(tensor.name)
    if wanted is None or tensor.name in given:
        found = f"'{tensor.name}'" + (" twice" if wanted else "")
        raise _bad_request("this input is not taken", f"each once: {', '.join(known)}", found)
    if tensor.datatype != wanted.datatype:
        raise _wrong(tensor, f"the type {wanted.datatype}", tensor.datatype)
    fits = len(tensor.shape) == len(wanted.shape) and all(
        0 < side < 2**31 and want in (-1, side)
        for side, want in zip(tensor.shape, wanted.shape, strict=True)
    )
    if not fits:
        raise _wrong(tensor, f"the shape {list(wanted.shape)}, -1 for any", f"{tensor.shape}")


def _take(tensor: InputTensor, long: dict[str, LongString]) -> LongString | None:
    match tensor.data:
        case [str(name)] if tensor.name == PICTURE.name:
            return long.pop(name, None)
    return None


def _text(tensor: InputTensor, value: Any) -> bytes:
    if not isinstance(value, str):
        raise _wrong(tensor, "strings", type(value).__name__)
    return value.encode(errors="replace")


def _split(tensor: InputTensor, binary: memoryview) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(binary):
        start = at + _LENGTH.size
        if start > len(binary):
            raise _wrong(tensor, "a length of 4 bytes before every string", "less")
        (length,) = _LENGTH.unpack_from(binary, at)
        at = start + length
        if at > len(binary) or len(found) > math.prod(tensor.shape):
            raise _wrong(tensor, "strings as long as they say", f"{len(binary) - start} bytes")
        found.append(bytes(binary[start:at]))
    return found


def _numbers(tensor: InputTensor) -> NDArray[Any]:
    try:
        return np.array(tensor.data)
    except (ValueError, OverflowError) as error:
        raise _wrong(tensor, "numbers, flat or in nested arrays", str(error)) from error


def _wrong(tensor: InputTensor, expected: str, found: str) -> RequestError:
    return _bad_request(f"the input '{tensor.name}' does not fit", expected, found)


def _bad_request(what: str, expected: str, found: str) -> RequestError:
    cure = "see GET /v2/models/NAME for the model's inputs and outputs"
    return RequestError(what, expected=expected, found=found[:300], cure=cure)
