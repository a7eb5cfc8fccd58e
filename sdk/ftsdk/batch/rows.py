"""A row of a batch: what became of one file, as JSON values.

    answered   {"file", "folder", and all of `Result.to_dict`}
    failed     {"file", "folder", "schema_version",
                "error": {"class", "what", "expected", "found", "cure"}}
    left out   {"file", "folder", "schema_version", "left_out": why}

An absolute name, or an address, has no "folder" beside it. A name that is no UTF-8 has its bytes
beside it, in hexadecimal, as "file_bytes".
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from ftsdk.errors import FtsdkError
from ftsdk.result import SCHEMA_VERSION, Result
from ftsdk.text import is_address, visible

Row = dict[str, Any]


@dataclass
class Counts:
    """How many files are what.

    Attributes:
        answered: those that were analysed.
        suspected: those of them whose score reaches its threshold.
        cannot_tell: those of them that the model was not made for.
        failed: those that could not be analysed.
        left_out: those that are no pictures.
    """

    answered: int = 0
    suspected: int = 0
    cannot_tell: int = 0
    failed: int = 0
    left_out: int = 0

    def add(self, row: Row) -> None:
        """Count one row more."""
        if "error" in row:
            self.failed += 1
        elif "left_out" in row:
            self.left_out += 1
        else:
            self.answered += 1
            self.cannot_tell += row.get("cannot_tell") is not None
            score, threshold = row["score"], row["score_threshold"]
            self.suspected += None not in (score, threshold) and score >= threshold

    def include(self, other: Counts) -> None:
        """Count what another has counted."""
        for kind, count in asdict(other).items():
            setattr(self, kind, getattr(self, kind) + count)


def answered(name: str, result: Result) -> Row:
    """Return the row of a picture that was analysed."""
    return {**_named(name), **result.to_dict()}


def failed(name: str, error: FtsdkError) -> Row:
    """Return the row of a picture that could not be analysed."""
    return {**_named(name), "schema_version": SCHEMA_VERSION, "error": error.to_dict()}


def left_out(name: str, why: str) -> Row:
    """Return the row of a file that was not looked at as a picture."""
    return {**_named(name), "schema_version": SCHEMA_VERSION, "left_out": why}


def in_folder(row: Row, folder: str) -> Row:
    """Return a row that says where its name begins, unless that is absolute."""
    if PurePath(row["file"]).is_absolute() or is_address(row["file"]):
        return row
    return {"file": row["file"], "folder": folder, **row}


def is_retried(row: Row, retry: Container[str]) -> bool:
    """Tell whether a row is a failure of one of the names in `retry`."""
    return "error" in row and name_in(row) in retry


def name_in(row: Row) -> str:
    """Return the name that a row was made with.

    Raises:
        LookupError, TypeError, ValueError: it is no row.
    """
    if "file_bytes" in row:
        return bytes.fromhex(row["file_bytes"]).decode("utf-8", "surrogateescape")
    name = row["file"]
    if not isinstance(name, str) or not row.keys() & {"error", "left_out", "score"}:
        raise ValueError("no row of a batch")
    return name


def _named(name: str) -> Row:
    content = name.encode("utf-8", "surrogateescape")
    try:
        content.decode()
    except UnicodeDecodeError:
        return {"file": visible(name), "file_bytes": content.hex()}
    return {"file": name}
