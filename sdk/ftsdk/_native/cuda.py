"""The CUDA kernel `resample.cu`, a library of its own that is there where nvcc compiled it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

LIBRARY = Path(__file__).with_name("cuda_kernels.so")
_TYPES = {
    "ftsdk_scratch_bytes": (ctypes.c_size_t, [ctypes.c_int] * 3),
    "ftsdk_resize_normalise": (
        ctypes.c_int,
        [
            ctypes.c_void_p,
            *[ctypes.c_int] * 3,
            *[ctypes.POINTER(ctypes.c_float)] * 2,
            ctypes.c_bool,
            *[ctypes.c_void_p] * 3,
        ],
    ),
}
_Triple = ctypes.c_float * 3


class CudaKernels:
    """What the library does; every address and the stream are numbers.

    Args:
        library: the compiled library.

    Raises:
        OSError: it cannot be loaded.
    """

    def __init__(self, library: Path = LIBRARY) -> None:
        loaded = ctypes.CDLL(str(library))
        for name, (result, arguments) in _TYPES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
        self._library = loaded

    def scratch_bytes(self, height: int, width: int, size: int) -> int:
        """Return the bytes of scratch that a picture of this size takes."""
        return int(self._library.ftsdk_scratch_bytes(height, width, size))

    def resize_normalise(
        self,
        picture: int,
        shape: tuple[int, int],
        size: int,
        statistics: tuple[Sequence[float], Sequence[float]],
        scratch: int,
        output: int,
        stream: int,
    ) -> int:
        """Put what `_native.resize_normalise` does, reversed, into a stream.

        Args:
            picture: address on the GPU of `[*shape, 3] uint8` without gaps.
            size: side S of the result.
            statistics: means and standard deviations, as `Preprocessing` has them.
            scratch: address on the GPU of `scratch_bytes` bytes.
            output: address on the GPU of `[3, S, S] float32`.

        Returns:
            The CUDA runtime's status; 0 is success.
        """
        mean, deviation = (_Triple(*values) for values in statistics)
        status = self._library.ftsdk_resize_normalise(
            picture, *shape, size, mean, deviation, True, scratch, output, stream
        )
        return int(status)
