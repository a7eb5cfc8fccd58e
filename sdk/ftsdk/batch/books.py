"""Where the rows of a batch go: a file or shards that are continued, or a stream."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from ftsdk.batch.lines import Book, LineFile, LineStream
from ftsdk.batch.shards import Shards
from ftsdk.errors import OptionError
from ftsdk.files import PIPE, cannot_save

_STDOUT = 1
_PARQUET = ".parquet"


def open_book(path: Path, folder: str, retry: Container[str] = ()) -> Book:
    """Return the book at `path`: a file or shards are continued, a pipe or a device only written.

    Args:
        path: `-` is standard output; NAME.parquet is a folder of shards.
        folder: where the relative names begin, see `Place.folder`.
        retry: names whose failures are taken out of a file, so that they are analysed again.

    Raises:
        OptionError: there is no such directory, or it is one, or its rows are of another folder.
        OutputFormatError: the file holds something else than rows; it is left as it is.
        OutputLockedError: another process is writing to the file.
        OutputError: it cannot be written.
    """
    with _typed(path):
        if is_stdout(path):
            return LineStream(path, folder, os.dup(_STDOUT))
        if path.exists() and not path.is_file() and not path.is_dir():
            return LineStream(path, folder, os.open(path, os.O_WRONLY))
        real = Path(os.path.realpath(path))
        if path.suffix == _PARQUET:
            return Shards(real, folder, retry)
        return LineFile(real, folder, retry)


def is_stdout(path: Path) -> bool:
    """Tell whether `path` is where standard output goes."""
    if path == PIPE:
        return True
    try:
        return os.path.samestat(path.stat(), os.fstat(_STDOUT))
    except OSError:
        return False


@contextmanager
def _typed(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise OptionError(
            f"there can be no file of answers at {path}",
            expected="a file or NAME.parquet in a directory that is there, a pipe, or -",
            found=error.strerror or str(error),
            cure="pass --out answers.jsonl",
        ) from error
    except OSError as error:
        raise cannot_save(path, error) from error
