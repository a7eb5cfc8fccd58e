"""The token embedding table, memory-mapped, so that only the rows in use are ever read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftsdk.language.scores import Ids

Embeddings = NDArray[np.float32]


class TokenEmbeddings:
    """Input embeddings [vocabulary, d_model], stored as bfloat16 bits in a uint16 `.npy` file."""

    def __init__(self, path: Path) -> None:
        # A plain array over the mapped file: numpy's memmap class makes each look-up slower.
        table: NDArray[np.uint16] = np.load(path, mmap_mode="r", allow_pickle=False)
        self._table = table.view(np.ndarray)

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
