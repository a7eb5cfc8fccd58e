"""Files that are proven before they are used: what was hashed is what is handed on.

A file is opened once, must be a regular one, and has its size compared before anything of that size
is allocated. Small ones are read once, and the bytes that were hashed are those that are returned.
What is too large for that is sealed: a file in its place, or a write to it, is noticed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ftsdk.errors import BundleFileAlteredError
from ftsdk.files import open_regular
from ftsdk.manifest import FileEntry

_CHUNK = 1 << 20
#: The most that one read is asked for; a file that fits is read by one, and never copied.
_MOST = 1 << 30
#: A graph of fewer bytes leaves little memory behind when it was loaded.
_LITTLE = 16 << 20


@dataclass(frozen=True)
class Seal:
    """Which file was hashed, and in which state.

    A rename, a link and a write each change `changed_ns`, which programs cannot set.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, file: BinaryIO) -> Seal:
        """Return the seal of an open file as it is now."""
        now = os.fstat(file.fileno())
        return cls(now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


@dataclass(frozen=True)
class SealedFile:
    """A file and the seal that it must still bear."""

    path: Path
    seal: Seal

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Yield the file, which is and at the end still was the one that was sealed.

        Raises:
            BundleFileAlteredError: it is another, or was written to.
        """
        for end in (False, True):
            try:
                with open_regular(self.path) as file:
                    require_seal(self.path, file, self.seal)
                    if not end:
                        yield file
            except OSError as error:
                found = error.strerror or type(error).__name__
                raise _altered(self.path, "the file that was hashed", found) from error


@dataclass(frozen=True)
class BundleGraph:
    """A stage's graph to load.

    Attributes:
        name: its file's name.
        content: its bytes, proven.
        weights: the file beside it with its weights, where it is not whole in itself.
        is_prepared: whether it is what a runtime made of a bundle's graph for this processor.
    """

    name: str
    content: bytes
    weights: SealedFile | None
    is_prepared: bool = False

    @property
    def is_small(self) -> bool:
        """Whether it is whole in itself and of less than 16 MiB."""
        return self.weights is None and len(self.content) < _LITTLE


def read_verified(path: Path, entry: FileEntry) -> bytes:
    """Return the bytes of a file, which are those that were hashed.

    Raises:
        BundleFileAlteredError: its size or SHA-256 is another, or it cannot be read.
    """
    with _expecting(path, entry) as file:
        # Unbuffered, one call may give less than was asked for.
        pieces = []
        while piece := file.read(min(_MOST, entry.size + 1)):
            pieces.append(piece)
        content = b"".join(pieces)
        _compare(path, entry, hashlib.sha256(content).hexdigest())
        return content


def seal_verified(path: Path, entry: FileEntry) -> Seal:
    """Return the seal of a file whose bytes were hashed.

    Raises:
        BundleFileAlteredError: its size or SHA-256 is another, or it cannot be read.
    """
    with _expecting(path, entry) as file:
        seal, digest = Seal.of(file), hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        _compare(path, entry, digest.hexdigest())
        require_seal(path, file, seal)
        return seal


def require_seal(path: Path, file: BinaryIO, seal: Seal) -> None:
    """Raise BundleFileAlteredError if `file`, which lies at `path`, is not what was sealed."""
    if Seal.of(file) != seal:
        raise _altered(path, "the file that was hashed", "another, or one that was written to")


@contextmanager
def _expecting(path: Path, entry: FileEntry) -> Iterator[BinaryIO]:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry.size:
                raise _altered(path, f"{entry.size} bytes", f"{size} bytes")
            yield file
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise _altered(path, f"SHA-256 {entry.sha256}", found) from error


def _compare(path: Path, entry: FileEntry, sha256: str) -> None:
    if sha256 != entry.sha256:
        raise _altered(path, f"SHA-256 {entry.sha256}", f"SHA-256 {sha256}")


def _altered(path: Path, expected: str, found: str) -> BundleFileAlteredError:
    return BundleFileAlteredError(
        f"{path} is not the file that was exported",
        expected=expected,
        found=found,
        cure="copy it again, or export the bundle again",
    )
