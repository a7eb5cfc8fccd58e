"""JSON that strangers send: sized and counted before it is parsed, with one error told of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ftsdk.errors import RequestError

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

    def check(self, body: bytes) -> None:
        """Raise RequestError where a document holds more."""
        counts = {
            "bytes": (len(body), self.nbytes),
            "quotation marks": (body.count(b'"'), self.strings),
            "arrays and objects": (body.count(b"[") + body.count(b"{"), self.containers),
            "commas": (body.count(b","), self.values),
        }
        for name, (found, most) in counts.items():
            if found > most:
                raise _bad_json(f"at most {most} {name}", f"{found}")


def parse_json(model: type[T], body: bytes, limits: JsonLimits) -> T:
    """Return a document of strangers; not for the event loop.

    Raises:
        RequestError: too large, no JSON, or not what `model` takes.
    """
    limits.check(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise _bad_json(f"a JSON object {model.__name__}", f"{where}: {first['msg']}") from error


def _bad_json(expected: str, found: str) -> RequestError:
    return RequestError(
        "the JSON of this request is not valid",
        expected=expected,
        found=found[:300],
        cure="see GET /openapi.json",
    )
