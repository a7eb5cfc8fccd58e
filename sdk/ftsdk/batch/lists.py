"""Lists of pictures: a text with a name a line, or Parquet with a column of names."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from ftsdk.errors import OptionError
from ftsdk.imaging.header.signature import NEEDED_BYTES, is_picture

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

#: How Parquet begins.
PARQUET = b"PAR1"
#: The column of names.
COLUMN = "path"
# The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def names_in_text(shown: str, content: bytes) -> list[str]:
    """Return the names in a text, each once; in UTF-8, or as its byte-order mark says.

    Raises:
        OptionError: it is no text.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            text = content[len(mark) :] if encoding == "utf-8" else content
            break
    else:
        encoding, text = "utf-8", content
    try:
        decoded = text.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise no_list(shown, f"damaged {encoding.upper()}: {error.reason}") from error
    if "\0" in decoded:
        raise no_list(shown, "a picture" if is_picture("", content[:NEEDED_BYTES]) else "no text")
    names = (line.removesuffix("\r") for line in decoded.split("\n"))
    return list(dict.fromkeys(name for name in names if name.strip()))


def names_in_parquet(shown: str, store: FileSystem, path: str) -> list[str]:
    """Return the names in the column `path` of a Parquet file, or of a folder of them, each once.

    Raises:
        OptionError: it is no Parquet, or has no such column of texts.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetDataset

    try:
        dataset = ParquetDataset(path, filesystem=store)
        columns = dataset.schema.names
        if COLUMN not in columns:
            raise no_list(shown, f"Parquet with the columns {', '.join(columns)}")
        names = dataset.read([COLUMN]).column(COLUMN).to_pylist()
    except (ArrowException, OSError) as error:
        raise no_list(shown, f"damaged Parquet: {error}") from error
    if not all(isinstance(name, str) for name in names if name is not None):
        raise no_list(shown, f"Parquet whose {COLUMN} holds no texts")
    return list(dict.fromkeys(name for name in names if name and name.strip()))


def no_list(shown: str, found: str) -> OptionError:
    """Return the error of something that names no pictures."""
    return OptionError(
        f"{shown} names no pictures",
        expected="a folder, a text file with the path of a picture a line, or Parquet with a "
        f"column called {COLUMN}",
        found=found,
        cure="pass a folder, or a list in UTF-8; ft-analyze takes single pictures",
    )
