"""Nano's fixed filters: what a picture's pixels say of its past, whatever they show."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD

#: Three high-pass filters of the spatial rich model (Fridrich and Kodovsky, 2012), as in Zhou et
#: al., "Learning rich features for image manipulation detection", 2018.
_SRM = (
    ((0, 0, 0, 0, 0), (0, -1, 2, -1, 0), (0, 2, -4, 2, 0), (0, -1, 2, -1, 0), (0, 0, 0, 0, 0)),
    ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2),
     (-1, 2, -2, 2, -1)),
    ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 1, -2, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0)),
)  # fmt: skip
_SRM_SCALE = (4.0, 12.0, 2.0)
#: Residuals are compressed as r / (|r| + knee), in grey levels: seams must not drown noise.
_KNEE = 3.0

#: Side of a JPEG block in px, and the luminance of R, G and B (ITU-R BT.601).
BLOCK = 8
_LUMINANCE = (0.299, 0.587, 0.114)
#: Quantization steps that are looked for: of larger ones these are divisors, or all is zero there.
_STEPS = (2, 3, 4, 5, 6, 7, 8)
#: What counts as a small coefficient, in grey levels.
_SMALL = (0.5, 3.0)


class HighPass(nn.Module):
    """Fixed high-pass residuals of CLIP-normalised pixels: [B, 3, S, S] -> [B, 9, S, S]."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = torch.tensor(_SRM) / torch.tensor(_SRM_SCALE)[:, None, None]
        knees = 255 * torch.tensor(CLIP_STD) / _KNEE
        # Each filter sees one colour. Zeros for the others make one product of it, which runtimes
        # have faster code for than for three groups.
        kernel = torch.einsum("cd,c,fhw->cfdhw", torch.eye(3), knees, filters).flatten(0, 1)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return functional.softsign(functional.conv2d(pixel_values, self.kernel, padding=2))


def cosine_basis() -> Tensor:
    """Return the orthonormal 2-D DCT-II of JPEG (ITU-T T.81, A.3.3) as kernels [64, 1, 8, 8]."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    rows = torch.cos((2 * place[None] + 1) * place[:, None] * math.pi / (2 * BLOCK)) / 2
    rows[0] /= math.sqrt(2)
    kernels = rows[:, None, :, None] * rows[None, :, None, :]
    return kernels.reshape(BLOCK**2, 1, BLOCK, BLOCK).float()


class BlockGrid(nn.Module):
    """How each 8x8 block of luminance fits the grid of an earlier JPEG: [B, 3, S, S] ->
    [B, 576, S/8, S/8].

    A saved picture's DCT coefficients are multiples of their quantization steps, and what was
    pasted, moved or painted later is not (Bianchi and Piva, "Image forgery localization via
    block-grained analysis of JPEG artifacts", 2012). Channels: cos(2 pi c / q) of the 64
    coefficients c for each step q, then |c| / (|c| + s) for each s. A crop that is no multiple of
    8 px from the file's corner, and any resizing, leave nothing to see here.
    """

    channels = BLOCK**2 * (len(_STEPS) + len(_SMALL))
    kernel: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        luminance = 255 * torch.tensor(CLIP_STD) * torch.tensor(_LUMINANCE)
        kernel = cosine_basis() * luminance[:, None, None]
        self.register_buffer("kernel", kernel, persistent=False)
        mid = 255 * sum(m * w for m, w in zip(CLIP_MEAN, _LUMINANCE, strict=True)) - 128
        # Of a constant only the first coefficient is anything: 8 times the constant.
        shift = torch.zeros(BLOCK**2)
        shift[0] = BLOCK * mid
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        coefficients = functional.conv2d(pixel_values, self.kernel, self.shift, stride=BLOCK)
        size = coefficients.abs()
        waves = [torch.cos(coefficients * (2 * math.pi / step)) for step in _STEPS]
        return torch.cat([*waves, *(size / (size + small) for small in _SMALL)], dim=1)
