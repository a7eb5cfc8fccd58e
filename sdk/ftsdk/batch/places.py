"""Where pictures lie: a folder, or an address that pyarrow.fs or fsspec opens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ftsdk.errors import InstallationError
from ftsdk.text import is_address, name_of, path_of, visible, without_credentials

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

#: Schemes that pyarrow opens itself; fsspec opens the others.
_ARROW = frozenset({"abfs", "abfss", "gcs", "gs", "hdfs", "s3", "viewfs"})
#: Schemes whose part before the @ names a container or a repository, and no user.
_OPEN = frozenset({"abfs", "abfss", "github"})


@dataclass(frozen=True)
class StoredFile:
    """A file at an address, which is opened when it is read, wherever that is.

    Attributes:
        address: its own, or that of a folder.
        below: its name in that folder, as the store spells it.
    """

    address: str
    below: str = ""

    @property
    def name(self) -> str:
        """Its name without the way to it."""
        return PurePath(self.below or self.address.partition("?")[0]).name

    def read(self, size: int = -1) -> bytes:
        """Return its first `size` bytes, or all of them; raises what its store raises."""
        store, path = store_of(self.address)
        if self.below:
            path = f"{path.rstrip('/')}/{self.below}"
        with store.open_input_stream(path) as stream:
            content: bytes = stream.read(None if size < 0 else size)
            return content


@dataclass(frozen=True)
class Place:
    """Where relative names begin.

    Attributes:
        where: an absolute path, see `ftsdk.text.name_of`, or an address.
    """

    where: str

    @classmethod
    def of_folder(cls, path: Path) -> Place:
        """Return a folder of this machine, wherever the process goes."""
        return cls(name_of(os.path.abspath(path)))  # noqa: PTH100  (a link stays what it is)

    @property
    def folder(self) -> str:
        """The same as text that can be shown: a real path, or an address without its secrets."""
        if is_address(self.where):
            return visible(public_address(self.where))
        return visible(name_of(os.path.realpath(path_of(self.where))))

    def file(self, name: str) -> Path | StoredFile:
        """Return what is called `name` here; an absolute path or an address is that anywhere."""
        if is_address(name):
            return file_at(name)
        if is_address(self.where) and not PurePath(name).is_absolute():
            return StoredFile(self.where, name)
        return path_of(self.where) / path_of(name)


def public_address(address: str) -> str:
    """Return an address without the credentials and options in it.

    Examples:
        >>> public_address("s3://key:secret@bucket/folder?region=eu-west-1")
        's3://bucket/folder'
    """
    place = address.partition("?")[0]
    return place if place.partition("://")[0] in _OPEN else without_credentials(place)


def file_at(address: str) -> Path | StoredFile:
    """Return what lies at an address; `file:` is this machine's."""
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme == "file" else StoredFile(address)


def parent_of(address: str) -> str:
    """Return the address of the folder in which a file lies."""
    place, mark, options = address.partition("?")
    return f"{place.rpartition('/')[0]}{mark}{options}"


def store_of(address: str) -> tuple[FileSystem, str]:
    """Return the file system of an address, and the path in it.

    Raises:
        InstallationError: pyarrow is not installed.
        Exception: what the store raises.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in _ARROW:
        opened: tuple[FileSystem, str] = _file_system(f"fsspec+{address}")
        return opened
    place, mark, options = rest.partition("?")
    host, slash, path = place.partition("/")
    store, base = _arrow_store(f"{scheme}://{host}{mark}{options}")
    return store, f"{base.rstrip('/')}{slash}{path}"


@lru_cache(maxsize=64)
def _arrow_store(address: str) -> tuple[FileSystem, str]:
    """Return a store, whose connections are used again, and the path of its beginning."""
    opened: tuple[FileSystem, str] = _file_system(address)
    return opened


def _file_system(address: str) -> tuple[FileSystem, str]:
    try:
        from pyarrow.fs import FileSystem
    except ImportError as error:
        raise InstallationError(
            "addresses and Parquet need pyarrow",
            expected="pyarrow and fsspec",
            found="none",
            cure='pip install "ftsdk[ray]"',
        ) from error
    opened: tuple[FileSystem, str] = FileSystem.from_uri(address)
    return opened
