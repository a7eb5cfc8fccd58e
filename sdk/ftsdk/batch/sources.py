"""Which files a batch is about: those of a folder or an address, or those that a list names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from ftsdk.batch.lists import PARQUET, names_in_parquet, names_in_text, no_list
from ftsdk.batch.places import (
    Place,
    StoredFile,
    file_at,
    parent_of,
    public_address,
    store_of,
)
from ftsdk.errors import FtsdkError, ImageNotFoundError
from ftsdk.imaging.header.signature import NEEDED_BYTES, is_picture
from ftsdk.streaming.sources import VIDEO_SUFFIXES
from ftsdk.text import is_address, name_of, path_of

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_DATASET = ".parquet"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a batch.

    Attributes:
        name: relative to the batch's root, with `/`; see `ftsdk.text.name_of`.
        left_out: why it is not looked at as a picture; None where that is not known yet.
        failure: why it, and what is in it, cannot be looked at.
    """

    name: str
    left_out: str | None = None
    failure: FtsdkError | None = None


@dataclass(frozen=True)
class Listing:
    """The files of a batch.

    Attributes:
        root: where their names begin.
        entries: every file, once; a folder that is not entered stands for its files.
        chosen: they were named one by one, so that each of them is meant to be a picture.
        entered: the folders below the root whose files are among the entries.
    """

    root: Place
    entries: tuple[Entry, ...]
    chosen: bool
    entered: frozenset[str] = frozenset()

    def known(self) -> frozenset[str]:
        """Return every name whose files a run comes to: what is gone meanwhile is not there."""
        return self.entered.union(entry.name for entry in self.entries)

    def file(self, entry: Entry) -> Path | StoredFile:
        """Return where a file is."""
        return self.root.file(entry.name)

    def why_left_out(self, entry: Entry) -> str | None:
        """Return why a file is not to be looked at as a picture; None if it is. Reads its start."""
        if entry.left_out or self.chosen:
            return entry.left_out
        file = self.file(entry)
        return _why_none_stored(file) if isinstance(file, StoredFile) else _why_no_picture(file)


def listing_of(pictures: str, book: Path | None = None) -> Listing:
    """Return the files below a folder or an address, or those that a list names.

    Args:
        pictures: a folder or a list, or the address of one; a list is a text file with a path a
            line, or Parquet with a column `path`. Names in it are relative to the list, or, if it
            comes through a pipe, to the working directory.
        book: the batch's own output, which is no file of the folder.

    Raises:
        OptionError: neither of them is there.
        InstallationError: an address or Parquet, without pyarrow.
    """
    found = file_at(pictures) if is_address(pictures) else Path(pictures)
    if isinstance(found, StoredFile):
        return _stored(found.address)
    try:
        return _local(found, book)
    except OSError as error:
        raise no_list(pictures, error.strerror or str(error)) from error


def _local(pictures: Path, book: Path | None) -> Listing:
    mode = pictures.stat().st_mode
    parent = Place.of_folder(pictures.parent if not stat.S_ISFIFO(mode) else Path())
    if stat.S_ISDIR(mode) and pictures.suffix != _DATASET:
        own, entered = book.resolve() if book else None, set[str]()
        walk = _walk(pictures, "", entered)
        found = tuple(entry for entry in walk if not _is(pictures, entry, own))
        return Listing(Place.of_folder(pictures), found, chosen=False, entered=frozenset(entered))
    if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and _starts_as_parquet(pictures)):
        store, path = store_of(f"local://{pictures.absolute()}")
        return _chosen(parent, names_in_parquet(str(pictures), store, path))
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
        return _chosen(parent, names_in_text(str(pictures), pictures.read_bytes()))
    raise no_list(str(pictures), "a device or a socket")


def _starts_as_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


def _chosen(root: Place, names: list[str]) -> Listing:
    return Listing(root, tuple(map(Entry, names)), chosen=True)


def _stored(address: str) -> Listing:
    shown = public_address(address)
    try:
        store, path = store_of(address)
        return _stored_at(address, shown, store, path)
    except FtsdkError:
        raise
    except Exception as error:  # every store raises its own
        raise no_list(shown, f"{type(error).__name__}: {error}") from error


def _stored_at(address: str, shown: str, store: FileSystem, path: str) -> Listing:
    from pyarrow.fs import FileType

    kind = store.get_file_info(path).type
    if kind == FileType.NotFound:
        raise no_list(shown, "nothing")
    if kind == FileType.Directory and PurePath(path).suffix != _DATASET:
        return Listing(Place(address), tuple(_walk_store(store, path)), chosen=False)
    parent, file = Place(parent_of(address)), StoredFile(address)
    if kind == FileType.Directory or file.read(len(PARQUET)) == PARQUET:
        return _chosen(parent, names_in_parquet(shown, store, path))
    return _chosen(parent, names_in_text(shown, file.read()))


def _walk_store(store: FileSystem, base: str) -> Iterator[Entry]:
    """Yield the files of a store below a path, by name."""
    from pyarrow.fs import FileSelector, FileType

    infos = store.get_file_info(FileSelector(base, recursive=True))
    names = (info.path for info in infos if info.type != FileType.Directory)
    hidden = set[str]()
    for name in sorted(name.removeprefix(base).lstrip("/") for name in names):
        parts = name.split("/")
        first = next((n for n, part in enumerate(parts) if part.startswith(".")), len(parts))
        if first >= len(parts) - 1:
            yield Entry(name, "a hidden file" if first < len(parts) else None)
        elif (folder := "/".join(parts[: first + 1])) not in hidden:
            hidden.add(folder)
            yield Entry(folder, "a hidden folder")


def _walk(root: Path, below: str, entered: set[str]) -> Iterator[Entry]:
    """Yield the files in a folder and below, by name, one folder at a time."""
    folders = []
    with os.scandir(root / path_of(below)) as found:
        for item in sorted(found, key=lambda item: item.name):
            name = below + name_of(item.name)
            if item.is_dir(follow_symlinks=False) and not item.name.startswith("."):
                folders.append(name)
            else:
                yield Entry(name, _why_not_entered(item))
    for name in folders:
        try:
            yield from _walk(root, f"{name}/", entered)
            entered.add(name)
        except OSError as error:
            yield Entry(name, failure=_closed(name, error))


def _why_not_entered(item: os.DirEntry[str]) -> str | None:
    kind = "folder" if os.path.isdir(item.path) else "file"  # noqa: PTH112  (a DirEntry raises)
    if item.name.startswith("."):
        return f"a hidden {kind}"
    if kind == "folder":
        return "a link to a folder; run a batch on that folder itself"
    return None


def _why_no_picture(path: Path) -> str | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "no regular file"
        with path.open("rb") as file:
            start = file.read(NEEDED_BYTES)
    except OSError:  # told when it is analysed
        return None
    return _why_no_picture_starts(path.name, start)


def _why_none_stored(file: StoredFile) -> str | None:
    if is_picture(file.name, b""):  # read once, when it is analysed
        return None
    try:
        return _why_no_picture_starts(file.name, file.read(NEEDED_BYTES))
    except Exception:  # told when it is analysed; every store raises its own
        return None


def _why_no_picture_starts(name: str, start: bytes) -> str | None:
    if is_picture(name, start):
        return None
    if PurePath(name).suffix.lower() in VIDEO_SUFFIXES:
        return "a video; ft-analyze takes it"
    return "no picture by its name or its first bytes"


def _is(root: Path, entry: Entry, book: Path | None) -> bool:
    """Tell whether a file is the book, or one of its shards."""
    if book is None:
        return False
    path = path_of(entry.name)
    if book.name not in path.parts:
        return False
    resolved = (root / path).resolve()
    return resolved == book or book in resolved.parents


def _closed(name: str, error: OSError) -> ImageNotFoundError:
    return ImageNotFoundError(
        f"The folder {name} cannot be opened.",
        expected="a folder that may be read",
        found=error.strerror or str(error),
        cure="Give yourself the right to read it, then run ft-batch with --retry.",
    )
