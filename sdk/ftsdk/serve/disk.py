"""Analyses on disk: an SQLite index, and a directory of files for each.

A directory is written under a temporary name, synced, renamed, and entered in the index; deleting
renames it first. Killed at any moment, the next start removes what was half written or half
deleted, and lists what was whole: what is on the disk is what the index names.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ftsdk.errors import OptionError, StoreError, StoreFullError
from ftsdk.files import sync
from ftsdk.imaging.decode import Picture, decode
from ftsdk.serve import folder
from ftsdk.serve.analyses import ID_PATTERN, Analysis, not_found
from ftsdk.serve.settings import Settings

_SCHEMA = """
CREATE TABLE IF NOT EXISTS analyses (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL,
    score REAL, parent TEXT, nbytes INTEGER NOT NULL
)
"""
# Deleted names are overwritten, and no log keeps them.
_PRAGMAS = ("secure_delete=ON", "journal_mode=TRUNCATE", "temp_store=MEMORY")
_INDEX = "index.sqlite3"
_LOCK = "lock"
_PARTIAL = ".tmp"
_GONE = ".gone"
_LOCK_SECONDS = 2.0
_OTHERS_MAY_WRITE = 0o022


class DiskStore:
    """Everything that was ever analysed, until it is deleted.

    Args:
        directory: where; it is made where it is not.
        most: bytes that its analyses may take.
        decode: makes a picture of a stored original.

    Raises:
        OptionError: others could write to the directory.
        StoreError: it cannot be used, or another process uses it.
    """

    def __init__(
        self,
        directory: Path,
        most: int = Settings.store_bytes,
        decode: Callable[[BinaryIO], Picture] = decode,
    ) -> None:
        self._directory, self.most, self._decode = directory, most, decode
        self._lock = threading.Lock()
        with _storing("the store cannot be opened"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_private(directory)
            self._claim = _claim(directory / _LOCK)
            self._index = _open_index(directory / _INDEX)
            self._sweep()
        self._count, self._nbytes = self._totals()

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __len__(self) -> int:
        return self._count

    def require_room(self, nbytes: int = 1) -> None:
        """Raise StoreFullError where so many bytes more would be too many."""
        if self._nbytes + nbytes > self.most:
            raise _full(f"{self._nbytes} bytes, and {nbytes} more", self.most)

    def put(self, analysis: Analysis) -> None:
        """Keep an analysis.

        Raises:
            StoreFullError: there is no room for it; nothing of it stays.
            StoreError: it could not be written; nothing of it stays.
        """
        partial = self._directory / (analysis.id + _PARTIAL)
        whole = self._directory / analysis.id
        with _storing("the analysis could not be stored"):
            try:
                partial.mkdir(mode=0o700)
                folder.write(analysis, partial)
                self.require_room(folder.nbytes(partial))
                partial.rename(whole)
                sync(self._directory)
                self._enter(whole)
            except BaseException:
                _remove(partial)
                _remove(whole)
                raise

    def get(self, key: str) -> Analysis:
        """Return an analysis.

        Raises:
            AnalysisNotFoundError: none of this id.
            StoreError: it cannot be read.
        """
        with _storing("the analysis cannot be read"):
            with self._lock:
                known = self._index.execute("SELECT 1 FROM analyses WHERE id = ?", (key,))
                if not known.fetchall():
                    raise not_found(key)
            try:
                return folder.read(self._directory / key, self._decode)
            except FileNotFoundError as error:
                raise not_found(key) from error

    def delete(self, key: str) -> None:
        """Delete an analysis with all its files; on return none is left on the disk.

        Raises:
            AnalysisNotFoundError: none of this id.
            StoreError: something of it is still there; deleting again tries again.
        """
        whole, gone = self._directory / key, self._directory / (key + _GONE)
        with self._lock, _storing("the analysis could not be deleted"):
            found = self._index.execute("SELECT nbytes FROM analyses WHERE id = ?", (key,))
            row = found.fetchone()
            if row is None:
                raise not_found(key)
            if whole.exists():
                whole.rename(gone)
                sync(self._directory)
            _remove(gone)
            sync(self._directory)
            with self._index:
                self._index.execute("DELETE FROM analyses WHERE id = ?", (key,))
            self._count, self._nbytes = self._count - 1, self._nbytes - row[0]

    def close(self) -> None:
        """Finish writing, and let others use the directory."""
        self._index.close()
        os.close(self._claim)

    def _enter(self, whole: Path) -> None:
        row = folder.index_row(whole)
        with self._lock:
            with self._index:
                self._index.execute("INSERT INTO analyses VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._count, self._nbytes = self._count + 1, self._nbytes + row[-1]

    def _sweep(self) -> None:
        """Finish what a kill interrupted."""
        listed = {key for (key,) in self._index.execute("SELECT id FROM analyses")}
        whole = set()
        for path in self._directory.iterdir():
            key, suffix = path.stem, path.suffix
            if not re.match(ID_PATTERN, key) or not path.is_dir():
                continue
            if suffix in (_PARTIAL, _GONE):
                _remove(path)
            elif not suffix:
                whole.add(key)
        rows = [folder.index_row(self._directory / key) for key in whole - listed]
        with self._index:
            self._index.executemany("INSERT INTO analyses VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            lost = [(key,) for key in listed - whole]
            self._index.executemany("DELETE FROM analyses WHERE id = ?", lost)
        sync(self._directory)

    def _totals(self) -> tuple[int, int]:
        count, size = self._index.execute(
            "SELECT COUNT(*), COALESCE(SUM(nbytes), 0) FROM analyses"
        ).fetchone()
        return count, size


def _open_index(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    index = sqlite3.connect(path, timeout=_LOCK_SECONDS, check_same_thread=False)
    for pragma in _PRAGMAS:
        index.execute(f"PRAGMA {pragma}")
    index.execute(_SCHEMA)
    if not index.execute("PRAGMA user_version").fetchone()[0]:
        index.execute("VACUUM")  # an index from before names were overwritten may hold some
        index.execute("PRAGMA user_version=1")
    return index


def _check_private(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE:
        return
    raise OptionError(
        "others could write to the store",
        expected="a directory of this user that nobody else may write to",
        found=f"{directory}, mode {status.st_mode & 0o7777:04o}, owned by user {status.st_uid}",
        cure=f"chmod go-w {directory}   (or name another directory)",
    )


def _claim(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(
            "the store is in use",
            expected="one ft-serve a store",
            found=f"another process holds {path}",
            cure="stop it, or name another directory with --store",
        ) from error
    return handle


def _remove(path: Path) -> None:
    # Another may remove the same at once, and then what is left of it is removed by the next turn.
    while path.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(path)


def _full(found: str, most: int | None = None) -> StoreFullError:
    return StoreFullError(
        "the store is full: nothing new is kept, and nothing that is kept was deleted",
        expected=f"at most {most} bytes of analyses" if most else "room on the disk",
        found=found,
        cure="delete analyses (DELETE /v1/analyses/ID), or start it with more --store-gigabytes "
        "on a disk that has them",
    )


@contextmanager
def _storing(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OptionError):
            raise
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(error.strerror or "no room on the disk") from error
        raise StoreError(
            what,
            expected="a directory with room that this user alone reads and writes",
            found=f"{type(error).__name__}: {error}"[:300],
            cure="see that the disk has room, and that no other program holds or changed the files",
        ) from error
