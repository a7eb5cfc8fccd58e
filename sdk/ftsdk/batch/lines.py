"""Rows as JSON, one a line: the book that is a file, and the one that is only written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator
from pathlib import Path
from types import TracebackType

from ftsdk.batch.rows import Counts, Row, in_folder, is_retried, name_in
from ftsdk.errors import OptionError, OutputFormatError, OutputLockedError
from ftsdk.files import cannot_save
from ftsdk.text import json_text

#: How every row begins; what is left of one by a crash begins so too, as far as it goes.
_START = b'{"file"'


class Book(ABC):
    """Rows, each written at once and whole.

    Attributes:
        folder: where the relative names in it begin.
        done: the names that have a row already.
        before: what those rows say.
        counts: what the rows say that were written since.
    """

    def __init__(self, path: Path, folder: str) -> None:
        self._path = path
        self.folder = folder
        self.done: set[str] = set()
        self.before, self.counts = Counts(), Counts()

    def write(self, row: Row) -> None:
        """Add a row.

        Raises:
            OutputError: it could not be written; nothing of it is there.
            BrokenPipeError: nobody reads any more.
        """
        try:
            self._append(json_text(in_folder(row, self.folder)).encode() + b"\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise cannot_save(self._path, error) from error
        self.counts.add(row)

    @abstractmethod
    def _append(self, line: bytes) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Let others write to it."""

    def __enter__(self) -> Book:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class LineStream(Book):
    """A pipe, a device, or standard output."""

    def __init__(self, path: Path, folder: str, handle: int) -> None:
        super().__init__(path, folder)
        self._handle = handle

    def _append(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._handle, line) :]

    def close(self) -> None:
        os.close(self._handle)


class LineFile(Book):
    """A file under a lock, which ends with the process however that ends."""

    def __init__(self, path: Path, folder: str, retry: Container[str]) -> None:
        super().__init__(path, folder)
        self._handle = _locked(path)
        try:
            rows = Lines(path)
            dropped = sum(self._drops(row, retry) for row in rows)
            self._end = rows.end
            os.ftruncate(self._handle, self._end)
            if dropped:
                self._drop(retry)
        except BaseException:
            os.close(self._handle)
            raise

    def _drops(self, row: Row, retry: Container[str]) -> bool:
        """Count a row, unless it is one that is to be dropped."""
        if row.get("folder", self.folder) != self.folder:
            raise of_another_folder(self._path, self.folder, row["folder"])
        if is_retried(row, retry):
            return True
        self.before.add(row)
        self.done.add(name_in(row))
        return False

    def _drop(self, retry: Container[str]) -> None:
        """Put a copy without the retried failures in the file's place, under its own lock."""
        copy = self._path.with_name(f".{self._path.name[:200]}.retry")
        handle = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with os.fdopen(os.dup(handle), "wb") as file:
                pairs = Lines(self._path).pairs()
                file.writelines(line for line, row in pairs if not is_retried(row, retry))
                file.flush()
                os.fsync(handle)
            copy.replace(self._path)
        except BaseException:
            os.close(handle)
            copy.unlink(missing_ok=True)
            raise
        os.close(self._handle)
        self._handle, self._end = handle, os.fstat(handle).st_size

    @property
    def size(self) -> int:
        """Bytes of the rows that are in it."""
        return self._end

    def append(self, line: bytes) -> None:
        """Add a row as it is; raises OSError, and then nothing of it is there."""
        try:
            written = os.write(self._handle, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._handle, self._end)
            raise
        self._end += len(line)

    _append = append

    def clear(self) -> None:
        """Take every row out."""
        os.ftruncate(self._handle, 0)
        self._end = 0
        self.done.clear()
        self.before = Counts()

    def close(self) -> None:
        os.fsync(self._handle)
        os.close(self._handle)


class Lines:
    """The rows of a file, and where the last whole one ends: a crash may have left part of one.

    Raises:
        OutputFormatError: it holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.end = path, 0

    def __iter__(self) -> Iterator[Row]:
        return (row for _, row in self.pairs())

    def pairs(self) -> Iterator[tuple[bytes, Row]]:
        """Yield each line with the row that it holds."""
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    self._check_part(line, number)
                    return
                yield line, self._row(line, number)
                self.end += len(line)

    def _row(self, line: bytes, number: int) -> Row:
        try:
            row: Row = json.loads(line)
            name_in(row)
            Counts().add(row)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise self._foreign(line, number) from error
        return row

    def _check_part(self, line: bytes, number: int) -> None:
        """Refuse what no crash leaves: neither part of a row, nor the zeros of a lost block."""
        part = line.rstrip(b"\0")
        if not (part.startswith(_START) or _START.startswith(part)):
            raise self._foreign(line, number)

    def _foreign(self, line: bytes, number: int) -> OutputFormatError:
        return OutputFormatError(
            f"{self._path} holds something else than answers of ft-batch",
            expected="a JSON object a line, each with a file and its answer",
            found=f"line {number} that begins with {line[:40]!r}",
            cure="pass another --out; this file was left as it is",
        )


def _locked(path: Path) -> int:
    """Open a file for appending, made if need be, and lock it for this process."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise _taken(path) from error
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # a retry has just put another file in its place


def _taken(path: Path) -> OutputLockedError:
    return OutputLockedError(
        f"another run is writing to {path}",
        expected="a file that nobody else is writing",
        found="a lock of another process",
        cure="wait until it has ended, or pass another --out",
    )


def of_another_folder(path: Path, folder: str, found: object) -> OptionError:
    return OptionError(
        f"{path} holds answers about the files of another folder",
        expected=f"answers about files below {folder}",
        found=f"answers about files below {found}",
        cure="pass another --out for this folder, or the folder of before; nothing was changed",
    )
