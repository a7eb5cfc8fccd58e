"""The directory `BUNDLE.engines` beside a bundle, which is its user's alone."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TypeVar

from ftsdk.bundle import Bundle
from ftsdk.errors import EngineCacheError
from ftsdk.files import read_regular, write_atomically
from ftsdk.strict import StrictError, parsed, written

Record = TypeVar("Record")


def key_name(prefix: str, key: object) -> str:
    """Return the name, without a suffix, of the files that are kept under `key`, a dataclass."""
    return f"{prefix}-{hashlib.sha256(written(key)).hexdigest()[:20]}"


class EngineFolder:
    """A private directory, mode 0700, of files and the records that say what each is for.

    Args:
        folder: the directory; it is made when the first file is stored.

    Attributes:
        unfinished: a directory in it, for what does not count yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.unfinished = folder, folder / ".partial"

    @staticmethod
    def path_beside(bundle: Bundle | Path) -> Path:
        """Return where a bundle's directory is."""
        path = bundle.path if isinstance(bundle, Bundle) else bundle
        resolved = path.resolve()
        return resolved.with_name(f"{resolved.name}.engines")

    def make(self) -> None:
        """Make the directory.

        Raises:
            EngineCacheError: it cannot be made, or others can read or write it.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self.unusable(error.strerror or type(error).__name__) from error
        self.require_private()

    def require_own(self) -> os.stat_result:
        """Raise EngineCacheError unless it is a directory of this user's."""
        status = self.folder.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise self.unusable("a link" if stat.S_ISLNK(status.st_mode) else "no directory")
        if status.st_uid != os.getuid():
            raise self.unusable(f"a directory of user {status.st_uid}")
        return status

    def require_private(self) -> None:
        """Raise EngineCacheError unless it is this user's alone."""
        mode = stat.S_IMODE(self.require_own().st_mode)
        if mode & 0o077:
            raise self.unusable(f"mode {mode:04o}")

    def record_path(self, name: str) -> Path:
        """Return where the record of that name is."""
        return self.folder / f"{name}.json"

    def read_record(self, kind: type[Record], name: str) -> Record:
        """Return a record.

        Raises:
            EngineCacheError: it is not one, or cannot be read.
        """
        try:
            return parsed(kind, read_regular(self.record_path(name)))
        except (OSError, StrictError) as error:
            found = str(error) if isinstance(error, StrictError) else str(error.strerror)
            raise self.unusable(f"the record {name}.json is damaged: {found[:200]}") from error

    def write_record(self, name: str, record: object) -> None:
        """Write a record, whole or not at all; OSError where that cannot be."""
        write_atomically(self.record_path(name), written(record, indent=1))

    def unusable(self, found: str) -> EngineCacheError:
        """Return the error of a directory in which `found` is not as it has to be."""
        return EngineCacheError(
            f"the engine cache {self.folder} cannot be used",
            expected="a directory of this user's own, mode 0700, with whole records",
            found=found,
            cure=f"remove {self.folder}, or make it yours alone: chmod 700 {self.folder}",
        )
