"""Matrices to 4-bit codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ft_export.errors import TensorValueError
from ft_export.precision.rounding import HIGHEST, LOWEST, Codes, Curvature, to_int4
from ftsdk.errors import OptionError

values = st.floats(-1e4, 1e4, width=32)
ROUNDINGS = ("nearest", "clipped", "gptq")


def coded(weight: torch.Tensor, rounding: str, moments: torch.Tensor | None = None) -> Codes:
    curvature = None if moments is None else Curvature.of(moments.clone())
    return to_int4("m", weight, 16, rounding, curvature)  # type: ignore[arg-type]


@given(arrays(np.float32, (32, 3), elements=values))
@settings(max_examples=50)
def test_codes_are_four_bits_and_no_farther_off_than_half_a_step(weight: np.ndarray) -> None:
    matrix = torch.from_numpy(weight)
    found = coded(matrix, "nearest")
    assert found.codes.min() >= LOWEST
    assert found.codes.max() <= HIGHEST
    step = found.scales.repeat_interleave(16, dim=0)
    error = (found.dequantized() - matrix).abs()
    # Subnormal blocks have codes of zero; their error is their size.
    assert bool((error <= 0.5001 * step + 1e-37).all())


@given(arrays(np.float32, (32, 3), elements=values))
@settings(max_examples=50)
def test_clipping_never_errs_more_than_rounding(weight: np.ndarray) -> None:
    matrix = torch.from_numpy(weight)
    nearest, clipped = (
        (coded(matrix, rounding).dequantized() - matrix).double().square().sum()
        for rounding in ("nearest", "clipped")
    )
    assert clipped <= nearest * (1 + 1e-5) + 1e-30


def test_gptq_errs_less_on_the_inputs_that_occur() -> None:
    generator = torch.Generator().manual_seed(1)
    mixed = torch.randn(64, 64, generator=generator)
    inputs = torch.randn(500, 64, generator=generator) @ mixed
    weight = torch.randn(64, 40, generator=generator)
    moments = inputs.T @ inputs / len(inputs)
    wanted = inputs @ weight
    errors = {
        rounding: float(
            (inputs @ coded(weight, rounding, moments).dequantized() - wanted).square().mean()
        )
        for rounding in ROUNDINGS
    }
    assert errors["gptq"] < 0.7 * errors["clipped"] < errors["nearest"]


def test_gptq_takes_each_column_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(64, 40, generator=generator)
    inputs = torch.randn(300, 64, generator=generator)
    moments = inputs.T @ inputs / 300
    whole = coded(weight, "gptq", moments)
    monkeypatch.setattr("ft_export.precision.rounding._GPTQ_COLUMNS", 8)
    parts = coded(weight, "gptq", moments)
    torch.testing.assert_close(parts.dequantized(), whole.dequantized(), rtol=0, atol=1e-4)


def test_gptq_without_inputs_is_clipped() -> None:
    weight = torch.randn(32, 5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(coded(weight, "gptq").codes, coded(weight, "clipped").codes)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_zeros_stay_zeros(rounding: str) -> None:
    weight = torch.zeros(32, 2)
    weight[16:, 1] = 1e-44  # its scale would be zero
    found = coded(weight, rounding, torch.eye(32))
    assert not found.codes.any()
    assert bool(torch.isfinite(found.scales).all())
    assert bool((found.scales > 0).all())


def test_a_block_that_does_not_divide_is_refused() -> None:
    with pytest.raises(OptionError) as caught:
        to_int4("block.0.wo", torch.ones(48, 2), 32, "nearest")
    assert "block.0.wo" in caught.value.what
    assert "16" in caught.value.expected


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_matrix_without_a_range_is_refused(value: float) -> None:
    weight = torch.ones(32, 2)
    weight[3, 1] = value
    with pytest.raises(TensorValueError):
        coded(weight, "clipped")
