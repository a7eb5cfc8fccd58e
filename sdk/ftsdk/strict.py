"""JSON to dataclasses, strictly: every field of its type and in its range, none missing, no other.

A dataclass says what it takes by its annotations: int, float, str, bool, Literal, `X | None`,
tuple, dict with text as keys, and dataclasses. A rule beside a type says more, as in
`Annotated[int, Within(ge=1)]`. Nothing becomes another type, but a whole number where a float is
meant; numbers are finite, and text can be written as UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as annotations_of

Record = TypeVar("Record")
_SAID: dict[Any, str] = {
    int: "a whole number", float: "a number", str: "text", bool: "true or false"
}  # fmt: skip


class StrictError(ValueError):
    """What was read is not what its dataclass takes; the message names each field and why."""


class Rule(Protocol):
    """What is asked of a value beyond its type."""

    def refusal(self, value: Any) -> str | None:
        """Return what the value has to be; None where it is."""


@dataclass(frozen=True)
class Within:
    """A number in a range: greater, at least, less or at most."""

    gt: float = -math.inf
    ge: float = -math.inf
    lt: float = math.inf
    le: float = math.inf

    def refusal(self, value: float) -> str | None:
        if self.gt < value < self.lt and self.ge <= value <= self.le:
            return None
        bounds = {">": self.gt, ">=": self.ge, "<": self.lt, "<=": self.le}
        return " and ".join(f"{sign} {at:g}" for sign, at in bounds.items() if math.isfinite(at))


@dataclass(frozen=True)
class Matching:
    """A text that is, from its beginning to its end, of a regular expression."""

    pattern: str

    def refusal(self, value: str) -> str | None:
        return None if re.fullmatch(self.pattern, value) else f"text of the form {self.pattern}"


@dataclass(frozen=True)
class AtLeast:
    """A sequence of so many items or more."""

    items: int

    def refusal(self, value: tuple[object, ...]) -> str | None:
        return None if len(value) >= self.items else f"of {self.items} items or more"


def parsed(kind: type[Record], content: bytes) -> Record:
    """Return the dataclass that JSON in UTF-8 describes.

    Raises:
        StrictError: it is no JSON, or not of that dataclass.
    """
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise StrictError(f"no JSON: {error}") from error
    return read(kind, value)


def read(kind: type[Record], value: object) -> Record:
    """Return the dataclass that values of JSON describe.

    Raises:
        StrictError: they are not of that dataclass.
    """
    faults: list[str] = []
    made: Record = _read(kind, value, "", faults)
    if faults:
        raise StrictError("; ".join(faults))
    return made


def written(record: Any, indent: int | None = None) -> bytes:
    """Return a dataclass as JSON, in UTF-8; without `indent` as short as it gets."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(asdict(record), ensure_ascii=False, indent=indent, separators=separators)
    return text.encode()


def _read(kind: Any, value: Any, place: str, faults: list[str]) -> Any:
    """Return `value` as `kind`; where it is not, a fault is noted and the result means nothing."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _ruled(kind, value, place, faults)
    if origin in (Union, UnionType):
        some = [one for one in get_args(kind) if one is not NoneType]
        return None if value is None else _read(some[0], value, place, faults)
    if is_dataclass(kind):
        return _record(kind, value, place, faults)
    if origin is tuple and isinstance(value, list):
        return _items(get_args(kind), value, place, faults)
    if origin is dict and isinstance(value, dict):
        item = get_args(kind)[1]
        return {
            _read(str, key, place, faults): _read(item, one, _inside(place, key), faults)
            for key, one in value.items()
        }
    wanted = _refusal(kind, value)
    if wanted:
        faults.append(f"{place or 'all'}: not {wanted}")
    return float(value) if kind is float and not wanted else value


def _ruled(kind: Any, value: Any, place: str, faults: list[str]) -> Any:
    known = len(faults)
    made = _read(kind.__origin__, value, place, faults)
    rules: tuple[Rule, ...] = kind.__metadata__
    for rule in rules if len(faults) == known else ():
        if wanted := rule.refusal(made):
            faults.append(f"{place}: not {wanted}")
    return made


def _record(kind: Any, value: Any, place: str, faults: list[str]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(f"{place or 'all'}: no object")
        return None
    known = {field.name: field for field in fields(kind)}
    faults += [f"{_inside(place, name)}: not known" for name in value if name not in known]
    optional = {name for name, field in known.items() if field.default is not MISSING}
    missing = known.keys() - optional - value.keys()
    faults += [f"{_inside(place, name)}: missing" for name in sorted(missing)]
    hints, made = _hints(kind), {}
    for name in known:
        if name in value:
            made[name] = _read(hints[name], value[name], _inside(place, name), faults)
    return None if faults else kind(**made)


def _items(kinds: tuple[Any, ...], value: list[Any], place: str, faults: list[str]) -> Any:
    if kinds[1:] == (...,):
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        faults.append(f"{place}: not {len(kinds)} items")
    pairs = enumerate(zip(kinds, value, strict=False))
    return tuple(_read(kind, one, _inside(place, index), faults) for index, (kind, one) in pairs)


def _refusal(kind: Any, value: Any) -> str | None:
    """Return what a value of no parts has to be; None where it is."""
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        known = any(value == one and type(value) is type(one) for one in choices)
        return None if known else f"one of {', '.join(map(str, choices))}"
    if kind not in _SAID:
        return "an object" if get_origin(kind) is dict else "a list"
    return None if _is(kind, value) else _SAID[kind]


def _is(kind: Any, value: Any) -> bool:
    if kind is float:
        try:
            return type(value) in (int, float) and math.isfinite(value)
        except OverflowError:
            return False
    if kind is str and type(value) is str:
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    return type(value) is kind


def _inside(place: str, name: object) -> str:
    return f"{place}.{name!s}".lstrip(".").encode(errors="backslashreplace").decode()


@lru_cache(maxsize=64)
def _hints(kind: Any) -> dict[str, Any]:
    return annotations_of(kind, include_extras=True)
