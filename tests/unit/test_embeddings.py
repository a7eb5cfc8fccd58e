"""The bfloat16 embedding table."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from raising import raised

from ftsdk.errors import BundleContentError
from ftsdk.language.embeddings import TokenEmbeddings

VOCABULARY, WIDTH = 40, 6


@pytest.fixture(scope="module")
def table() -> torch.Tensor:
    values = torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(1)) * 1e3
    return values.to(torch.bfloat16)


@pytest.fixture(scope="module")
def embeddings(table: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> TokenEmbeddings:
    path: Path = tmp_path_factory.mktemp("table") / "token_embeddings.npy"
    np.save(path, table.view(torch.uint16).numpy())
    return TokenEmbeddings(path.read_bytes())


@given(ids=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9))
def test_rows_are_the_float32_values_of_the_table(
    embeddings: TokenEmbeddings, table: torch.Tensor, ids: list[int]
) -> None:
    found = embeddings.look_up(np.array([ids]))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, table[torch.tensor([ids])].float().numpy())


def test_rows_can_be_written_into_given_memory(
    embeddings: TokenEmbeddings, table: torch.Tensor
) -> None:
    out = np.zeros((3, 1, WIDTH), np.float32)
    embeddings.look_up(np.array([5, 0, 39]), out=out[:, 0])
    np.testing.assert_array_equal(out[:, 0], table[[5, 0, 39]].float().numpy())


def stored(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_the_width_is_the_table_s(embeddings: TokenEmbeddings) -> None:
    assert embeddings.width == WIDTH


WHOLE = stored(np.zeros((VOCABULARY, WIDTH), np.uint16))
NO_TABLES = {
    "nothing": b"",
    "text": b"no table",
    "cut": WHOLE[:-1],
    "cut to its header": WHOLE[:128],
    "longer": WHOLE + b"0",
    "an enormous shape": WHOLE.replace(b"(40, 6)", b"(4" + b"0" * 3 + b", 6)"),
    "floats": stored(np.zeros((VOCABULARY, WIDTH), np.float16)),
    "one row": stored(np.zeros(WIDTH, np.uint16)),
    "columns": stored(np.zeros((VOCABULARY, WIDTH), np.uint16, order="F")),
    "no columns": stored(np.zeros((VOCABULARY, 0), np.uint16)),
    "objects": stored(np.array([[None]], object)),
    "too few rows": stored(np.zeros((VOCABULARY - 1, WIDTH), np.uint16)),
}


@pytest.mark.parametrize("content", NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_refused(content: bytes) -> None:
    TokenEmbeddings(WHOLE, VOCABULARY)
    raised(BundleContentError, lambda: TokenEmbeddings(content, VOCABULARY))
