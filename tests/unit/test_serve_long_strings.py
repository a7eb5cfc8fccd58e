"""Files in JSON are taken out before it is parsed, and are what they were, whatever its escapes."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from hypothesis import given
from hypothesis import strategies as st

from ftsdk.errors import RequestError
from ftsdk.serve.bodies import LONGEST, parse_json, parse_with_files
from ftsdk.serve.documents import REFINE_LIMITS, RefineRequest
from ftsdk.serve.inference.documents import InferenceRequest, request_limits
from ftsdk.serve.inference.tensors import Given, assign

_LIMITS = request_limits(6 << 20)
_NOISE = np.random.default_rng(5).bytes(3 << 20)


def _request(string: bytes) -> bytes:
    """Return a request whose picture is `string` between quotation marks."""
    tensor = b'{"name": "picture", "shape": [1, 1], "datatype": "BYTES", "data": ["%s"]}'
    name = b'"parameters": {"name": "\\u00e9"}'
    return b'{"id": "\\"\\\\", "inputs": [%s], %s}' % (tensor % string, name)


def _picture(body: bytes) -> Given:
    request, long = parse_with_files(InferenceRequest, body, _LIMITS)
    assert (request.id, request.parameters) == ('"\\', {"name": "é"})
    return assign(request.inputs, memoryview(b""), long)["picture"]


def _hexadecimal(text: bytes) -> bytes:
    return b"".join(b"\\u%04x" % byte for byte in text)


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        (b"", b""),
        (b"/", b"\\/"),
        (b"+", b"\\u002B"),
        (b"=", b"\\u003d"),
        (b"A", b"\\u0041"),
    ],
)
@pytest.mark.parametrize("size", [0, 30, LONGEST * 3 // 4, LONGEST * 3 // 4 + 1, len(_NOISE) - 1])
def test_a_file_is_what_it_was_whatever_is_escaped(size: int, plain: bytes, escaped: bytes) -> None:
    text = base64.b64encode(_NOISE[:size])
    string = text.replace(plain, escaped) if plain else text
    assert _picture(_request(string)).file() == _NOISE[:size]


@pytest.mark.parametrize("shift", range(6))
def test_no_escape_is_cut_in_two(shift: int) -> None:
    text = base64.b64encode(_NOISE[: 1 << 18])
    string = text[:shift] + _hexadecimal(text[shift:])
    assert len(string) > 1 << 20
    assert _picture(_request(string)).file() == _NOISE[: 1 << 18]


@pytest.mark.parametrize(
    "end",
    [
        "é".encode(),
        b"\xff",
        b"\n",
        b"\\n",
        b"\\q",
        b"\\u12",
        b"\\",
        b"\\\\",
        b"\\" * 2**21,
        b"\\" * (2**21 + 1) + b"/",
        b'\\"',
        b'\\\\\\"',
        b"!",
        b"A",
    ],
)
@pytest.mark.parametrize("size", [30, 3 << 19])
def test_what_is_no_base64_is_refused(size: int, end: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        _picture(_request(base64.b64encode(_NOISE[:size]) + end)).file()
    assert len(str(caught.value)) < 1000


@given(st.lists(st.sampled_from(["a" * 1500, "é", '"', "\\", "/", "\n", ", ", "\U0001f600"])))
def test_a_string_ends_where_json_ends_it(parts: list[str]) -> None:
    string = json.dumps("".join(parts), ensure_ascii=len(parts) % 2 == 0).encode()
    body = b'{"inputs": [], "outputs": null, "id": "x", "other": %s, "more": "y"}' % string
    request, long = parse_with_files(InferenceRequest, body, _LIMITS)
    assert (request.id, request.inputs) == ("x", [])
    found = [one.text[one.start : one.end] for one in long.values()]
    assert found == [string[1:-1]] * (len(string) - 2 > LONGEST)


_LONG = b"x" * (LONGEST + 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [], "id": "%s"}' % _LONG,
        b'{"inputs": [], "%s": 1}' % _LONG,
        b'{"inputs": [], "parameters": {"name": "%s"}}' % _LONG,
        _request(b"AA==").replace(b"picture", _LONG),
        _request(_LONG).replace(b"picture", b"regions"),
        _request(b'AA==", "' + _LONG),
    ],
)
def test_a_long_string_that_is_no_picture_is_refused(body: bytes) -> None:
    request, long = parse_with_files(InferenceRequest, body, _LIMITS)
    with pytest.raises(RequestError, match=f"at most {LONGEST} bytes"):
        assign(request.inputs, memoryview(b""), long)


def test_a_correction_has_no_long_strings() -> None:
    body = b'{"id": "%s", "regions": ["%s"]}' % (b"a" * 22, _LONG)
    with pytest.raises(RequestError, match=f"at most {LONGEST} bytes"):
        parse_json(RefineRequest, body, REFINE_LIMITS)


@pytest.mark.parametrize("filling", [b" ", b"\n", b"1"])
def test_little_is_parsed_beside_the_files(filling: bytes) -> None:
    body = b'{"inputs": [], "other": %s1}' % (filling * (5 << 20))
    with pytest.raises(RequestError, match="beside long strings"):
        parse_with_files(InferenceRequest, body, _LIMITS)
