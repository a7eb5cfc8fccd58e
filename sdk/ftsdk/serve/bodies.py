"""JSON that strangers send: sized and counted before it is parsed, with one error told of many.

No other thread of Python runs during a call that parses, counts or copies. So long strings are
taken out before, the rest is small, and what is done to the whole is done in pieces.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from ftsdk.errors import RequestError

#: Bytes of a string that is no file.
LONGEST = 4096
_PIECE = 1 << 20
_LONGEST_ESCAPE = len(rb"\u0041")

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class JsonLimits:
    """What a document may hold; more is refused in the time of a scan.

    Attributes:
        nbytes: size of the text.
        strings: quotation marks, of which every name and every string has two.
        containers: arrays and objects.
        values: commas, of which all but the first value of a container have one.
    """

    nbytes: int
    strings: int
    containers: int
    values: int

    @property
    def rest(self) -> int:
        """Bytes beside long strings: what is parsed in one call."""
        return 16 * (self.values + LONGEST)

    def check(self, body: bytes) -> None:
        """Raise RequestError where a document holds more."""
        counts = {
            "bytes": (len(body), self.nbytes),
            "quotation marks": (_count(body, b'"'), self.strings),
            "arrays and objects": (_count(body, b"[") + _count(body, b"{"), self.containers),
            "commas": (_count(body, b","), self.values),
        }
        for name, (found, most) in counts.items():
            if found > most:
                raise _bad_json(f"at most {most} {name}", f"{found}")


@dataclass(frozen=True)
class LongString:
    """A string of more than `LONGEST` bytes as it stands in a JSON text: `text[start:end]`."""

    text: bytes
    start: int
    end: int

    def file(self) -> bytes:
        """Return the file whose base64 it is.

        Raises:
            ValueError: it is none.
        """
        content: bytes | memoryview = memoryview(self.text)[self.start : self.end]
        if self.text.find(b"\\", self.start, self.end) >= 0:
            content = b"".join(self._unescaped())
        pieces = (content[at : at + _PIECE] for at in range(0, len(content), _PIECE))
        return b"".join([base64.b64decode(piece, validate=True) for piece in pieces])

    def _unescaped(self) -> Iterator[bytes]:
        at = self.start
        while at < self.end:
            end = min(at + _PIECE, self.end)
            if end < self.end:  # not in the middle of an escape; base64 has none of a backslash
                cut = self.text.rfind(b"\\", end - _LONGEST_ESCAPE, end)
                end = cut if cut >= 0 else end
            yield from_json(b'"' + self.text[at:end] + b'"').encode("ascii")
            at = end


def parse_json(model: type[T], body: bytes, limits: JsonLimits) -> T:
    """Return a document of strangers without long strings; not for the event loop.

    Raises:
        RequestError: too large, no JSON, or not what `model` takes.
    """
    document, long = parse_with_files(model, body, limits)
    check_all_used(long)
    return document


def parse_with_files(
    model: type[T], body: bytes, limits: JsonLimits
) -> tuple[T, dict[str, LongString]]:
    """Return a document of strangers, and its long strings by what stands in their place.

    Raises:
        RequestError: too large, no JSON, or not what `model` takes.
    """
    limits.check(body)
    text, long = _without_long_strings(body)
    if len(text) > limits.rest:
        raise _bad_json(f"at most {limits.rest} bytes beside long strings", f"{len(text)}")
    try:
        return model.model_validate_json(text), long
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise _bad_json(f"a JSON object {model.__name__}", f"{where}: {first['msg']}") from error


def check_all_used(long: dict[str, LongString]) -> None:
    """Raise RequestError where a document has long strings that nobody took for a file."""
    if long:
        longest = max(one.end - one.start for one in long.values())
        raise _bad_json(f"strings of at most {LONGEST} bytes", f"{longest}")


def _count(body: bytes, mark: bytes) -> int:
    return sum(body.count(mark, at, at + _PIECE) for at in range(0, len(body), _PIECE))


def _without_long_strings(body: bytes) -> tuple[bytes, dict[str, LongString]]:
    kept, long, at = [], {}, 0
    start = body.find(b'"') + 1
    while start:
        end = _end_of_string(body, start)
        if end - start > LONGEST:
            name = secrets.token_hex(16)
            long[name] = LongString(body, start, end)
            kept += [body[at:start], name.encode()]
            at = end
        start = body.find(b'"', end + 1) + 1
    return b"".join([*kept, body[at:]]), long


def _end_of_string(body: bytes, start: int) -> int:
    end = body.find(b'"', start)
    while end >= 0 and _backslashes(body, start, end) % 2:
        end = body.find(b'"', end + 1)
    return end if end >= 0 else len(body)


def _backslashes(body: bytes, start: int, end: int) -> int:
    """Return how many stand in a row before `end`."""
    at = end
    while at > start:
        piece = body[max(at - LONGEST, start) : at]
        rest = len(piece.rstrip(b"\\"))
        at -= len(piece) - rest
        if rest:
            break
    return end - at


def _bad_json(expected: str, found: str) -> RequestError:
    return RequestError(
        "the JSON of this request is not valid",
        expected=expected,
        found=found[:300],
        cure="see GET /openapi.json",
    )
