"""The token embedding table, in memory once, in 16 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import BundleContentError
from ftsdk.language.scores import Ids
from ftsdk.numpy_files import array_in

Embeddings = NDArray[np.float32]


class TokenEmbeddings:
    """Input embeddings [vocabulary, d_model], stored as bfloat16 bits in a uint16 `.npy` file.

    Args:
        content: the file's bytes. Not mapped: a file that is cut while it is mapped ends the
            process.
        vocabulary: how many rows there have to be at least.

    Raises:
        BundleContentError: it is no such table.
    """

    def __init__(self, content: bytes, vocabulary: int = 0) -> None:
        self._table = _table(content)
        if len(self._table) < vocabulary:
            raise _no_table(f"{vocabulary} rows", f"{len(self._table)}")

    @property
    def width(self) -> int:
        """d_model."""
        return int(self._table.shape[1])

    def look_up(self, ids: Ids, out: Embeddings | None = None) -> Embeddings:
        """Return the float32 rows of `ids`: `[..., d_model]`, written to `out` if given."""
        rows = np.empty((*ids.shape, self.width), np.float32) if out is None else out
        # A bfloat16 is the upper half of the float32 with the same value.
        np.left_shift(self._table[ids], 16, out=rows.view(np.uint32), dtype=np.uint32)
        return rows


def _table(content: bytes) -> NDArray[np.uint16]:
    try:
        table = array_in(content)
    except ValueError as error:
        raise _no_table("a .npy file", str(error)) from error
    by_row = table.ndim == 2 and table.flags.c_contiguous
    if table.dtype != np.uint16 or not by_row or not table.size:
        raise _no_table("rows of uint16", f"{table.dtype} {table.shape}")
    return table


def _no_table(expected: str, found: str) -> BundleContentError:
    return BundleContentError(
        "the bundle's token embeddings are no table for its language model",
        expected=expected,
        found=found[:200],
        cure="export the bundle again",
    )
