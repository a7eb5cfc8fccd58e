"""The C++ kernels: `resize_normalise`, `upsample`, `upsample_cut`."""

from __future__ import annotations

from ftsdk._native.kernels import avx2_available, resize_normalise, upsample, upsample_cut

__all__ = ["avx2_available", "resize_normalise", "upsample", "upsample_cut"]
