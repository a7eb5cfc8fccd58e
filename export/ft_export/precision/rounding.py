"""Float matrices to symmetric 4-bit codes with one scale a block: nearest, clipped, or GPTQ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ft_export.errors import TensorValueError
from ftsdk.errors import OptionError
from ftsdk.manifest import Rounding

LOWEST, HIGHEST = -8, 7
#: Shares of a block's largest magnitude that `clipped` and `gptq` try as the end of its range.
_CLIPS = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76)
#: Added to the diagonal of GPTQ's second moments, as a share of its mean (Frantar et al., 2023).
_DAMPING = 0.01
#: Columns at a time, so that what is computed of them stays in the processor's cache.
_COLUMNS = 256
#: GPTQ's: it takes a step a row whatever the columns, which do not depend on each other.
_GPTQ_COLUMNS = 2048


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


@dataclass(frozen=True)
class Curvature:
    """What GPTQ needs to know of a product's inputs x [*, K].

    Attributes:
        importance: mean of the squares of each input, [K] float32.
        factor: upper Cholesky factor of the inverse of the damped second moments, [K, K] float32;
            it holds every update that the elimination needs (Frantar et al., 2023, section 3.3).
    """

    importance: Tensor
    factor: Tensor

    @classmethod
    def of(cls, moments: Tensor) -> Curvature:
        """Return the curvature of the mean of x x^T, [K, K] float32, which it overwrites."""
        importance = moments.diagonal().clone()
        moments.diagonal().add_(_DAMPING * importance.mean() + 1e-12)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(moments))
        return cls(importance, torch.linalg.cholesky(inverse, upper=True))


def to_int4(
    name: str, weight: Tensor, block: int, rounding: Rounding, curvature: Curvature | None = None
) -> Codes:
    """Return the 4-bit codes of a matrix, whose rows are grouped into blocks.

    Args:
        name: the matrix's, for errors.
        weight: [K, N] float32.
        block: rows that share a scale.
        rounding: `nearest` rounds to the grid that spans each block; `clipped` takes the range
            with the least squared error; `gptq` moreover lets later rows make up for the error
            of earlier ones, as the inputs' `curvature` says.
        curvature: of the inputs of this matrix; without it, `gptq` is `clipped`.

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
    if rounding == "gptq" and curvature is not None:
        parts = [_gptq(part, block, curvature) for part in weight.split(_GPTQ_COLUMNS, dim=1)]
    else:
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


def _gptq(weight: Tensor, block: int, curvature: Curvature) -> tuple[Tensor, Tensor]:
    """Frantar et al., "GPTQ: Accurate Post-Training Quantization" (2023), a row a step."""
    weight, rows, factor = weight.clone(), len(weight), curvature.factor
    codes = torch.empty_like(weight, dtype=torch.int8)
    scales = torch.empty(rows // block, weight.shape[1])
    for start in range(0, rows, block):
        end = start + block
        part = weight[start:end]
        importance = curvature.importance[start:end]
        scale = scales[start // block] = _scales(part[None], _CLIPS, importance)[0]
        errors = torch.empty_like(part)
        for row in range(block):
            codes[start + row] = rounded = _round(part[row], scale)
            errors[row] = (part[row] - rounded * scale) / factor[start + row, start + row]
            part[row + 1 :] -= torch.outer(factor[start + row, start + row + 1 : end], errors[row])
        weight[end:] -= factor[start:end, end:].T @ errors
    return codes, scales
