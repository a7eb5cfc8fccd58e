"""Preprocessing on the GPU, whose result the vision stages read where it lies."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk._native.cuda import LIBRARY, CudaKernels
from ftsdk.engines.device_memory import CudaTensor, Staged, Stream, allocate
from ftsdk.errors import EngineLoadError, EngineRunError
from ftsdk.imaging.preprocess import Preprocessing, require_picture


def load_kernels() -> CudaKernels | None:
    """Return the CUDA kernels, or None where they were not compiled.

    Raises:
        EngineLoadError: they were, and cannot be loaded.
    """
    if not LIBRARY.is_file():
        return None
    try:
        return CudaKernels()
    except OSError as error:
        raise EngineLoadError(
            "the CUDA preprocessing kernel cannot be loaded",
            expected="a library for this processor and system",
            found=str(error)[:400],
            cure="install ftsdk again on this machine, with or without CMAKE_ARGS=-DFTSDK_CUDA=ON",
        ) from error


class CudaPreprocessing:
    """What `Preprocessing` does, bit for bit, with a stream and memory of its own.

    Args:
        preprocessing: how the model wants its pictures.
        kernels: the compiled kernels.
        cuda: `cuda.bindings.runtime`.
    """

    def __init__(self, preprocessing: Preprocessing, kernels: CudaKernels, cuda: Any) -> None:
        self._preprocessing, self._kernels = preprocessing, kernels
        self._stream, self._lock = Stream(cuda), threading.Lock()
        self._picture, self._scratch = Staged(self._stream), Staged(self._stream)

    def pixel_values(self, picture: NDArray[np.uint8]) -> CudaTensor:
        """Upload a picture, and resize and normalise it on the GPU.

        Takes and raises what `Preprocessing.pixel_values` does; calls take turns.

        Returns:
            `[1, 3, S, S] float32` on the device.

        Raises:
            EngineRunError: a CUDA call failed.
        """
        require_picture(picture)
        size = self._preprocessing.size
        height, width = picture.shape[:2]
        with self._lock:
            self._picture.write(picture)
            self._picture.upload(picture.nbytes)
            name, shape = "pixel_values", (1, 3, size, size)
            dtype = np.dtype(np.float32)
            result = allocate(self._stream.cuda, {name: shape}, {name: dtype})[name]
            status = self._kernels.resize_normalise(
                self._picture.address,
                (height, width),
                size,
                (self._preprocessing.mean, self._preprocessing.std),
                self._scratch.reserve(self._kernels.scratch_bytes(height, width, size)),
                result.address,
                int(self._stream.handle),
            )
            self._stream.synchronise()
        if status != 0:
            raise _failed(status)
        return result

    def close(self) -> None:
        """Free the stream and the memory."""
        with self._lock:
            del self._picture, self._scratch
            self._stream.close()


def _failed(status: int) -> EngineRunError:
    return EngineRunError(
        "the GPU could not preprocess a picture",
        expected="a kernel that was compiled for this GPU",
        found=f"CUDA error {status}",
        cure="compile ftsdk on this machine, or without CMAKE_ARGS=-DFTSDK_CUDA=ON",
    )
