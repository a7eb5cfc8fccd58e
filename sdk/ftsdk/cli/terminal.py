"""What a command prints and exits with, without what only options, help and progress need."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import Any, Literal, NoReturn

from ftsdk.errors import FtsdkError, OptionError, OutputFormatError, OverwriteError, RegionError
from ftsdk.text import json_text, visible

WORK_FAILED, WRONG_USE = 1, 2
_WRONG_USE = (OptionError, OutputFormatError, OverwriteError, RegionError)
Style = Literal["", "bold", "dim", "error"]
_CODES: dict[Style, str] = {"bold": "1", "dim": "2", "error": "1;31"}


def prepare() -> None:
    """Make ready to run: what the terminal's encoding lacks is escaped, SIGTERM ends in order."""
    # What was imported lives until the end, and there a collection of it takes a tenth of the run.
    gc.freeze()
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)


def say(text: object, style: Style = "", end: str = "\n", to_error: bool = False) -> None:
    """Print text from outside: nothing in it acts on the terminal; styled where it is shown."""
    stream = sys.stderr if to_error else sys.stdout
    safe = visible(str(text), keep="\n\t")
    stream.write(_styled(safe, style, stream) + end)
    stream.flush()


def _styled(text: str, style: Style, stream: Any) -> str:
    plain = not style or os.name == "nt" or "NO_COLOR" in os.environ
    if plain or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def print_json(document: Any, indent: int | None = None) -> None:
    """Print JSON to standard output, in UTF-8 whatever the locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write((json_text(document, indent) + "\n").encode())
    sys.stdout.buffer.flush()


def show_error(error: FtsdkError, about: str | None = None) -> None:
    """Print what failed, what was expected and found, and the cure, to standard error."""
    prefix = f"{about}: " if about else ""
    say("error", "error", end=" ", to_error=True)
    say(f"{prefix}{error.what}", to_error=True)
    for label, text in (
        ("expected", error.expected),
        ("found", error.found),
        ("cure", error.cure),
    ):
        say(f"  {label:>8}", "dim", end="  ", to_error=True)
        say(text, to_error=True)


def error_document(error: FtsdkError) -> dict[str, Any]:
    """Return an error as the JSON that stands in a result's place."""
    from ftsdk.result import SCHEMA_VERSION

    return {"schema_version": SCHEMA_VERSION, "error": error.to_dict()}


@contextmanager
def exit_on_error(document: dict[str, Any] | None = None) -> Iterator[None]:
    """Turn an ftsdk error into its message and an exit code: 2 for wrong use, else 1.

    With a `document` that says what was asked about, what is no wrong use is printed as JSON.
    """
    try:
        yield
    except FtsdkError as error:
        wrong_use = isinstance(error, _WRONG_USE)
        if document is None or wrong_use:
            show_error(error)
        else:
            print_json(document | error_document(error))
        raise SystemExit(WRONG_USE if wrong_use else WORK_FAILED) from error


def reader_left() -> NoReturn:
    """End as a command does whose output nobody reads any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(WORK_FAILED)


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
