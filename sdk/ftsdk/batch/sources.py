"""Which files a batch is about: those of a folder, or those that a list names."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ftsdk.errors import FtsdkError, ImageNotFoundError, OptionError
from ftsdk.imaging.header.signature import NEEDED_BYTES, is_picture
from ftsdk.streaming.sources import VIDEO_SUFFIXES
from ftsdk.text import name_of, path_of, visible

# The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


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

    root: Path
    entries: tuple[Entry, ...]
    chosen: bool
    entered: frozenset[str] = frozenset()

    @property
    def folder(self) -> str:
        """The root by its real path, as text that can be shown."""
        return visible(name_of(os.path.realpath(self.root)))

    def known(self) -> frozenset[str]:
        """Return every name whose files a run comes to: what is gone meanwhile is not there."""
        return self.entered.union(entry.name for entry in self.entries)

    def path(self, entry: Entry) -> Path:
        """Return where a file is."""
        return self.root / path_of(entry.name)

    def why_left_out(self, entry: Entry) -> str | None:
        """Return why a file is not to be looked at as a picture; None if it is. Reads its start."""
        if entry.left_out or self.chosen:
            return entry.left_out
        return _why_no_picture(self.path(entry))


def listing_of(pictures: Path, book: Path | None = None) -> Listing:
    """Return the files below a folder, or those of a text file with a path a line.

    Args:
        pictures: the folder or the list; paths in a list are relative to the list, or, if it comes
            through a pipe, to the working directory.
        book: the batch's own output, which is no file of the folder.

    Raises:
        OptionError: neither of them is there.
    """
    try:
        mode = pictures.stat().st_mode
        if stat.S_ISDIR(mode):
            own = book.resolve() if book else None
            entered = set[str]()
            walk = _walk(pictures, "", entered)
            found = tuple(entry for entry in walk if not _is(pictures, entry, own))
            return Listing(pictures, found, chosen=False, entered=frozenset(entered))
        if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
            root = pictures.parent if stat.S_ISREG(mode) else Path()
            names = _lines(pictures, pictures.read_bytes())
            return Listing(root, tuple(map(Entry, names)), chosen=True)
    except OSError as error:
        raise _no_list(pictures, error.strerror or str(error)) from error
    raise _no_list(pictures, "a device or a socket")


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
    if is_picture(path.name, start):
        return None
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "a video; ft-analyze takes it"
    return "no picture by its name or its first bytes"


def _is(root: Path, entry: Entry, book: Path | None) -> bool:
    return book is not None and book.name == path_of(entry.name).name and (
        (root / path_of(entry.name)).resolve() == book
    )  # fmt: skip


def _lines(path: Path, content: bytes) -> list[str]:
    """Return the names in a list, each once; in UTF-8, or as its byte-order mark says."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            text = content[len(mark) :] if encoding == "utf-8" else content
            break
    else:
        encoding, text = "utf-8", content
    try:
        decoded = text.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise _no_list(path, f"damaged {encoding.upper()}: {error.reason}") from error
    if "\0" in decoded:
        raise _no_list(path, "a picture" if is_picture("", content[:NEEDED_BYTES]) else "no text")
    names = (line.removesuffix("\r") for line in decoded.split("\n"))
    return list(dict.fromkeys(name for name in names if name.strip()))


def _closed(name: str, error: OSError) -> ImageNotFoundError:
    return ImageNotFoundError(
        f"The folder {name} cannot be opened.",
        expected="a folder that may be read",
        found=error.strerror or str(error),
        cure="Give yourself the right to read it, then run ft-batch with --retry.",
    )


def _no_list(path: Path, found: str) -> OptionError:
    return OptionError(
        f"{path} names no pictures",
        expected="a folder, or a text file with the path of a picture a line",
        found=found,
        cure="pass a folder, or a list in UTF-8; ft-analyze takes single pictures",
    )
