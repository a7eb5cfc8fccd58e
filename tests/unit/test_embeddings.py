"""The bfloat16 embedding table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
    return TokenEmbeddings(path)


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


def test_the_table_is_not_read_into_memory(embeddings: TokenEmbeddings) -> None:
    assert isinstance(embeddings._table.base, np.memmap)
    assert embeddings.width == WIDTH
