"""Float matrices to symmetric 4-bit codes with one scale a block: nearest, clipped, or GPTQ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ftsdk.errors import OptionError, TensorValueError

Rounding = Literal["nearest", "clipped", "gptq"]

LOWEST, HIGHEST = -8, 7
#: Shares of a block's largest magnitude that `clipped` and `gptq` try as the end of its range.
_CLIPS = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76)
#: Added to the diagonal of GPTQ's second moments, as a share of its mean (Frantar et al., 2023).
_DAMPING = 0.01
#: Columns at a time, so that what is computed of them stays in the processor's cache.
_COLUMNS = 256


@dataclass(frozen=True)
class Codes:
    """A matrix in 4 bits: `codes` [K, N] int8 in -8..7, `scales` [K / block, N] float32."""

    codes: Tensor
    scales: Tensor
    block: int

    def dequantized(self) -> Tensor:
        """Return codes * scales as [K, N] float32."""
        return self.codes.float() * self.scales.repeat_interleave(self.block, dim=0)


def require_blocks(name: str, rows: int, block: int) -> None:
    """Raise OptionError unless `block` divides the rows of the matrix `name`."""
    if rows % block:
        fitting = [size for size in (16, 32, 64, 128) if rows % size == 0]
        raise OptionError(
            f"the block size does not divide the rows of {name}",
            expected=f"a block size that divides {rows}"
            + (f": {', '.join(map(str, fitting))}" if fitting else ""),
            found=str(block),
            cure="pass another --block-size, or --language float16",
        )


def to_int4(
    name: str, weight: Tensor, block: int, rounding: Rounding, moments: Tensor | None = None
) -> Codes:
    """Return the 4-bit codes of a matrix, whose rows are grouped into blocks.

    Args:
        name: the matrix's, for errors.
        weight: [K, N] float32.
        block: rows that share a scale.
        rounding: `nearest` rounds to the grid that spans each block; `clipped` takes the range
            with the least squared error; `gptq` moreover lets later rows make up for the error
            of earlier ones, given the inputs' `moments`.
        moments: mean of x x^T over the inputs of this matrix, [K, K]; `gptq` needs it.

    Raises:
        OptionError: `block` does not divide K.
        TensorValueError: a block's scale would be infinite or no number.
    """
    require_blocks(name, len(weight), block)
    peak = float(weight.abs().max())
    if not math.isfinite(peak):
        raise TensorValueError(
            f"the matrix {name} has no range that 4 bits could span",
            expected="finite numbers",
            found=f"a largest magnitude of {peak}",
            cure="download the weights again; a training that diverged cannot be exported",
        )
    if rounding == "gptq" and moments is not None:
        return _gptq(weight, moments, block)
    clips = (1.0,) if rounding == "nearest" else _CLIPS
    parts = [_by_blocks(part, block, clips) for part in weight.split(_COLUMNS, dim=1)]
    codes, scales = (torch.cat(values, dim=1) for values in zip(*parts, strict=True))
    return Codes(codes, scales, block)


def _by_blocks(weight: Tensor, block: int, clips: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    grouped = weight.reshape(-1, block, weight.shape[1])
    scales = _scales(grouped, clips)
    codes = _round(grouped, scales[:, None])
    return codes.reshape(weight.shape).to(torch.int8), scales


def _round(weight: Tensor, scales: Tensor) -> Tensor:
    return (weight / scales).round_().clamp_(LOWEST, HIGHEST)


def _scales(grouped: Tensor, clips: tuple[float, ...], importance: Tensor | None = None) -> Tensor:
    """Return each block's scale [blocks, N], of those that `clips` gives the one that errs least.

    `importance` [block] weighs the rows' errors.
    """
    peak = grouped.abs().amax(1)
    best, least = torch.ones_like(peak), torch.full_like(peak, torch.inf)
    for clip in clips:
        scales = peak * (clip / HIGHEST)
        # A block of zeros, or of subnormals whose scale rounds to zero, has codes of zero.
        scales = torch.where(scales < torch.finfo(torch.float32).tiny, 1.0, scales)
        error = (_round(grouped, scales[:, None]) * scales[:, None] - grouped).square_()
        error = (error if importance is None else error * importance[:, None]).sum(1)
        best = torch.where(error < least, scales, best)
        least = torch.minimum(least, error)
    return best


def _gptq(weight: Tensor, moments: Tensor, block: int) -> Codes:
    """Frantar et al., "GPTQ: Accurate Post-Training Quantization" (2023), a row a step."""
    weight, rows = weight.clone(), len(weight)
    damped = moments + torch.eye(rows) * (_DAMPING * moments.diagonal().mean() + 1e-12)
    # The upper Cholesky factor of the inverse holds every update that the elimination needs.
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor = torch.linalg.cholesky(inverse, upper=True)
    codes = torch.empty_like(weight, dtype=torch.int8)
    scales = torch.empty(rows // block, weight.shape[1])
    for start in range(0, rows, block):
        end = start + block
        part = weight[start:end]
        importance = moments.diagonal()[start:end]
        scale = scales[start // block] = _scales(part[None], _CLIPS, importance)[0]
        errors = torch.empty_like(part)
        for row in range(block):
            codes[start + row] = rounded = _round(part[row], scale)
            errors[row] = (part[row] - rounded * scale) / factor[start + row, start + row]
            part[row + 1 :] -= torch.outer(factor[start + row, start + row + 1 : end], errors[row])
        weight[end:] -= factor[start:end, end:].T @ errors
    return Codes(codes, scales, block)
