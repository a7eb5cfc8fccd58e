"""What a process that may have been taken over says, made into what it may mean and no more.

What makes no sense raises LookupError, TypeError, ValueError or AttributeError.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, get_args

from ftsdk import errors
from ftsdk.errors import InputError
from ftsdk.imaging.header.facts import Format, Header
from ftsdk.report.credentials import Credentials, State


def read_facts(document: Any) -> tuple[Header, str | None, int | None]:
    """Return a picture's header, damage and quality."""
    header = Header(**document["header"])
    kind, *numbers = astuple(header)
    if kind not in get_args(Format) or not all(type(number) in (int, bool) for number in numbers):
        raise TypeError(header)
    damage, quality = document["damage"], document["quality"]
    if not isinstance(damage, str | None) or type(quality) not in (int, type(None)):
        raise TypeError(document)
    return header, damage, quality


def read_error(document: Any) -> InputError:
    """Return what is wrong with a picture."""
    kind: type[InputError] = getattr(errors, document["error"])
    if not issubclass(kind, InputError):
        raise TypeError(kind)
    what, expected, found, cure = map(str, document["parts"])
    return kind(what, expected=expected, found=found, cure=cure)


def read_credentials(document: Any) -> Credentials:
    """Return what a picture says of its origin."""
    state, note, facts = document["credentials"]
    pairs = tuple((str(label), str(value)) for label, value in facts)
    if state not in get_args(State) or not isinstance(note, str):
        raise TypeError(document)
    return Credentials(state, note, pairs)
