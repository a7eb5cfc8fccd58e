"""The prompter's pooling, which no exporter takes as it is."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ft_export.model.forgery_prompter import TokenPool


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40))
def test_the_constant_matrix_is_adaptive_average_pooling(
    height: int, width: int, tokens: int
) -> None:
    features = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    expected = torch.nn.functional.adaptive_avg_pool1d(features.flatten(2), tokens)
    found = TokenPool(height * width, tokens)(features)
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-6)
