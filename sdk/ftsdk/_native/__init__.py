"""The C++ kernels: `jpeg_faults`, `resize_normalise`, `upsample`, `upsample_cut`."""

from __future__ import annotations

from ftsdk.errors import PackageBrokenError

try:
    from ftsdk._native.kernels import (
        avx2_available,
        jpeg_faults,
        resize_normalise,
        upsample,
        upsample_cut,
    )
except ImportError as error:
    raise PackageBrokenError(
        "The compiled part of ftsdk does not load.",
        expected="kernels that were compiled with this version",
        found=str(error),
        cure="pip install --force-reinstall --no-deps ftsdk, or in a checkout: "
        "pip install --no-deps --no-build-isolation -e .",
    ) from error

__all__ = ["avx2_available", "jpeg_faults", "resize_normalise", "upsample", "upsample_cut"]
