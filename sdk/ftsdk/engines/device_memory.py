"""Device memory and one stream, through NVIDIA's CUDA runtime bindings."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import EngineRunError


class Buffer:
    """Device memory that grows: `address` stays valid until a larger array comes."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.address, self._size = 0, 0

    def reserve(self, size: int) -> int:
        """Hold at least `size` bytes and return the address."""
        if size > self._size:
            self.free()
            self.address = self._stream.call("cudaMalloc", size)
            self._size = size
        return self.address

    def upload(self, array: NDArray[np.generic]) -> int:
        """Copy a contiguous array to the device and return its address."""
        self.reserve(max(1, array.nbytes))
        self._stream.copy(self.address, array.ctypes.data, array.nbytes, to_device=True)
        return self.address

    def download(self, array: NDArray[np.generic]) -> None:
        """Copy into a contiguous array; it is whole once the stream is synchronised."""
        self._stream.copy(array.ctypes.data, self.address, array.nbytes, to_device=False)

    def free(self) -> None:
        """Give the memory back."""
        if self.address:
            self._stream.call("cudaFree", self.address)
        self.address, self._size = 0, 0


class Stream:
    """One CUDA stream.

    Args:
        cuda: `cuda.bindings.runtime`, or what stands for it.

    Raises:
        EngineRunError: a CUDA call failed; so does every method.
    """

    def __init__(self, cuda: ModuleType | Any) -> None:
        self._cuda = cuda
        self.handle = self.call("cudaStreamCreate")

    def copy(self, target: int, source: int, size: int, to_device: bool) -> None:
        """Copy `size` bytes between host and device, in the stream's order."""
        kinds = self._cuda.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", target, source, size, kind, self.handle)

    def synchronise(self) -> None:
        """Wait until everything in the stream is done."""
        self.call("cudaStreamSynchronize", self.handle)

    def close(self) -> None:
        """Give the stream back."""
        self.call("cudaStreamDestroy", self.handle)

    def call(self, function: str, *arguments: object) -> Any:
        """Call the CUDA runtime and return what it yields besides its status."""
        status, *results = getattr(self._cuda, function)(*arguments)
        if int(status) != 0:
            raise EngineRunError(
                f"the CUDA call {function} failed",
                expected="success",
                found=f"error {int(status)}",
                cure="free GPU memory or use a smaller bundle; see nvidia-smi",
            )
        return results[0] if results else None
