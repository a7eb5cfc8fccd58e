"""Files of a weights folder, which may be damaged or no files at all, read by whoever parses them.

What is no regular file, such as a pipe, is not waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ft_export.errors import WeightsFileError
from ftsdk.files import open_regular, read_regular

T = TypeVar("T")
_MOST_FOUND = 320


def parsed(path: Path, kind: str, parse: Callable[[bytes], T]) -> T:
    """Return what `parse` makes of a description: a configuration, an index, a tokenizer.

    Args:
        path: the file, of 256 MiB at most.
        kind: what it should be, for the error.
        parse: may raise whatever it likes.

    Raises:
        WeightsFileError: it is no regular file, or `parse` failed.
    """
    return _attempted(path, kind, lambda: parse(read_regular(path)))


def loaded(path: Path, kind: str, load: Callable[[Path], T]) -> T:
    """Return what a library that opens files itself makes of one.

    Raises:
        WeightsFileError: it is no regular file, or `load` failed.
    """
    require_regular(path, kind)
    return _attempted(path, kind, lambda: load(path))


def require_regular(path: Path, kind: str = "a regular file") -> None:
    """Raise WeightsFileError where a path is no regular file that can be read."""
    try:
        with open_regular(path):
            pass
    except OSError as error:
        raise unreadable(path, kind, error) from error


def unreadable(path: Path, kind: str, error: BaseException | str) -> WeightsFileError:
    """Return the error of a file that is not what it should be."""
    found = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return WeightsFileError(
        f"{path} cannot be read",
        expected=kind,
        found=found[:_MOST_FOUND],
        cure="compare its size with the publisher's and download it again",
    )


def _attempted(path: Path, kind: str, attempt: Callable[[], T]) -> T:
    try:
        return attempt()
    except BaseException as error:  # panics of tokenizers are no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise unreadable(path, kind, error) from error
