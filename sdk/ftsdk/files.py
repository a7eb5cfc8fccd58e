"""Files that appear whole or not at all, and never in the place of what was handed in.

And the one way to open a file that others may have put there, which may be no file at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ftsdk.errors import OptionError, OutputError, OverwriteError

_CURES = {
    errno.ENOSPC: "free some space, or name a place on another disk",
    errno.EDQUOT: "free some space, or name a place on another disk",
    errno.ENOENT: "make the directory first, or name another place",
    errno.ENAMETOOLONG: "name it shorter",
}
#: More than any description, index or tokenizer has.
_MOST_BYTES = 256 << 20
#: Stands on a command line for standard input or output.
PIPE = Path("-")


def named(word: str) -> Path:
    """Return what a word of a command line names: `-` is :data:`PIPE`, `./-` a file of that name.

    A Path forgets the `./`, and with it what was meant.
    """
    path = Path(word)
    return path.absolute() if path == PIPE and word != str(PIPE) else path


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Yield a file, unbuffered; a link is followed, a pipe or a device is not waited for.

    Raises:
        OSError: it is not there, or no regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        yield file


def read_regular(path: Path) -> bytes:
    """Return what is in a file that is no more than a description of something.

    Raises:
        OSError: it is not there, no regular file, or larger than 256 MiB.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > _MOST_BYTES:
            raise OSError(errno.EFBIG, f"more than {_MOST_BYTES >> 20} MiB")
        return file.read()


class Inputs:
    """Files that were handed in, known by what they are: links and letter case are seen through.

    Args:
        paths: where they are; what is not there cannot be overwritten.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._files = {identity for path in paths if (identity := _identity(path))}

    def refuse(self, target: Path) -> None:
        """Raise OverwriteError if `target` is one of them."""
        if _identity(target) in self._files:
            raise OverwriteError(
                f"saving {target} would replace what was handed in",
                expected="a name that none of the given files has",
                found="one of them, by this name or through a link",
                cure="name another place",
            )


@contextmanager
def saving(path: Path, inputs: Inputs | None = None) -> Iterator[Path]:
    """Yield where to write what a user wants at `path`: there whole at the end, or not at all.

    A link is followed; a device or a pipe is written as it is.

    Raises:
        OverwriteError: `path` is one of `inputs`.
        OutputError: it cannot be written.
    """
    if inputs:
        inputs.refuse(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            yield path
            return
        with replacing(Path(os.path.realpath(path))) as temporary:
            yield temporary
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_save(path, error) from error


def require_place(path: Path, inputs: Inputs | None = None, suffixes: Sequence[str] = ()) -> None:
    """Find out before long work whether `saving` will be able to write at its end.

    Raises:
        OptionError: it ends in none of `suffixes`, if there are any.
        OverwriteError: `path` is one of `inputs`.
        OutputError: it cannot be written.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise OptionError(
            f"{path} cannot be written",
            expected=f"a file ending in {', '.join(suffixes)}",
            found=path.suffix or "no suffix",
            cure=f"name it with {suffixes[0]} at its end",
        )
    if inputs:
        inputs.refuse(path)
    beside = Path(os.path.realpath(path)).with_name(f".{secrets.token_hex(8)}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                return
        beside.touch(exist_ok=False)
        beside.unlink()
    except OSError as error:
        raise cannot_save(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty file beside `path`; at the end it is synced and takes its place.

    An error inside removes it.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, sync it to disk, and rename it into place."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_save(path: Path, error: OSError) -> OutputError:
    """Return the error of a file that cannot be written."""
    return OutputError(
        f"cannot save {path}",
        expected="a place that can be written",
        found=error.strerror or str(error),
        cure=_CURES.get(error.errno or 0, "name another place, or make this one writable"),
    )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
