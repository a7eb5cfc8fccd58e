"""Device memory, pinned host memory, a stream and its graphs, through NVIDIA's CUDA bindings.

`cuda` is `cuda.bindings.runtime` everywhere, or what stands for it. Whatever calls CUDA raises
EngineRunError where the call fails.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.engines.contract import DeviceTensor
from ftsdk.errors import EngineRunError

# Alignment of tensors that share a block, as cudaMalloc aligns a block.
_ALIGNMENT = 256


def call(cuda: Any, function: str, *arguments: object) -> Any:
    """Call the CUDA runtime and return what it yields besides its status."""
    status, *results = getattr(cuda, function)(*arguments)
    if int(status) != 0:
        raise EngineRunError(
            f"the CUDA call {function} failed",
            expected="success",
            found=f"error {int(status)}",
            cure="free GPU memory or use a smaller bundle; see nvidia-smi",
        )
    return results[0] if results else None


class Block:
    """Device memory, or pinned host memory, that is given back when nobody holds it.

    Args:
        cuda: the bindings.
        size: bytes; none makes one.
        pinned: on the host, where copies to the device need no second copy.
    """

    def __init__(self, cuda: Any, size: int, pinned: bool = False) -> None:
        self._cuda, self.size, self._pinned, self.address = cuda, max(1, size), pinned, 0
        if pinned:
            self.address = int(call(cuda, "cudaHostAlloc", self.size, cuda.cudaHostAllocDefault))
        else:
            self.address = int(call(cuda, "cudaMalloc", self.size))

    def view(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """Return pinned memory as an array [*shape] of `dtype`; the block must outlive it."""
        memory = (ctypes.c_char * self.size).from_address(self.address)
        return np.ndarray(shape, dtype, memoryview(memory))

    def __del__(self) -> None:
        if self.address:
            (self._cuda.cudaFreeHost if self._pinned else self._cuda.cudaFree)(self.address)


class CudaTensor(DeviceTensor):
    """A tensor in a block of device memory; everything that writes it is done."""

    def __init__(
        self, cuda: Any, block: Block, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        super().__init__(shape, dtype)
        self._cuda, self._block, self.address = cuda, block, block.address + offset

    def _download(self) -> NDArray[np.generic]:
        array = np.empty(self.shape, self.dtype)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        call(self._cuda, "cudaMemcpy", array.ctypes.data, self.address, self.nbytes, kind)
        return array


def allocate(
    cuda: Any, shapes: Mapping[str, tuple[int, ...]], types: Mapping[str, np.dtype[Any]]
) -> dict[str, CudaTensor]:
    """Return each name's tensor, [*shapes[name]] of `types[name]`, all in one block of memory.

    That is one call to CUDA for all of them. What they hold is undefined.
    """
    offsets, used = {}, 0
    for name, shape in shapes.items():
        offsets[name] = used
        used += -(-math.prod(shape) * types[name].itemsize // _ALIGNMENT) * _ALIGNMENT
    block = Block(cuda, used)
    return {n: CudaTensor(cuda, block, offsets[n], shape, types[n]) for n, shape in shapes.items()}


class Graph:
    """What was put into a stream once, to be put there again by one call."""

    def __init__(self, cuda: Any, executable: Any) -> None:
        self._cuda, self._executable = cuda, executable

    def launch(self, stream: Stream) -> None:
        """Put it into the stream."""
        call(self._cuda, "cudaGraphLaunch", self._executable, stream.handle)

    def __del__(self) -> None:
        self._cuda.cudaGraphExecDestroy(self._executable)


class Stream:
    """A CUDA stream that waits for no other one, nor any for it."""

    def __init__(self, cuda: Any) -> None:
        self.cuda = cuda
        self.handle = call(cuda, "cudaStreamCreateWithFlags", cuda.cudaStreamNonBlocking)

    def copy(self, target: int, source: int, size: int, to_device: bool) -> None:
        """Copy `size` bytes between host and device, in the stream's order."""
        kinds = self.cuda.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        call(self.cuda, "cudaMemcpyAsync", target, source, size, kind, self.handle)

    def synchronise(self) -> None:
        """Wait until everything in the stream is done."""
        call(self.cuda, "cudaStreamSynchronize", self.handle)

    def capture(self, enqueue: Callable[[], None]) -> Graph | None:
        """Return what `enqueue` puts into the stream, not run; None if it cannot be captured."""
        # Other threads may go on allocating meanwhile.
        mode = self.cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call(self.cuda, "cudaStreamBeginCapture", self.handle, mode)
        try:
            enqueue()
        except EngineRunError:
            self._end_capture()
            return None
        graph = self._end_capture()
        if graph is None:
            return None
        try:
            return Graph(self.cuda, call(self.cuda, "cudaGraphInstantiate", graph, 0))
        except EngineRunError:
            return None
        finally:
            self.cuda.cudaGraphDestroy(graph)

    def _end_capture(self) -> Any:
        status, graph = self.cuda.cudaStreamEndCapture(self.handle)
        if int(status) == 0:
            return graph
        # The error would be taken for that of the next call.
        self.cuda.cudaGetLastError()
        return None

    def close(self) -> None:
        """Give the stream back."""
        call(self.cuda, "cudaStreamDestroy", self.handle)


class Staged:
    """A tensor's memory on the device, and pinned memory from which or into which it is copied.

    Both grow; `address` stays what it is until a larger array comes.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._device: Block | None = None
        self._pinned: Block | None = None

    @property
    def address(self) -> int:
        """The device memory's address; 0 before `reserve`."""
        return self._device.address if self._device else 0

    def reserve(self, size: int) -> int:
        """Hold at least `size` bytes on the device and return the address."""
        if self._device is None or self._device.size < size:
            self._device = None
            self._device = Block(self._stream.cuda, size)
        return self._device.address

    def write(self, array: NDArray[np.generic]) -> None:
        """Put an array [...] of any shape and dtype into pinned memory.

        Nothing may be on its way from there.
        """
        self.reserve(array.nbytes)
        np.copyto(self._staging(array), array)

    def upload(self, size: int) -> None:
        """Copy what was written to the device, in the stream's order."""
        assert self._pinned is not None
        self._stream.copy(self.address, self._pinned.address, size, to_device=True)

    def download(self, array: NDArray[np.generic]) -> None:
        """Copy what will become `array` [...] into pinned memory, in the stream's order."""
        target = self._staging(array).ctypes.data
        self._stream.copy(target, self.address, array.nbytes, to_device=False)

    def read(self, array: NDArray[np.generic]) -> None:
        """Copy what was downloaded into `array` [...]: the shape and dtype that `download` had.

        The stream has been synchronised since.
        """
        np.copyto(array, self._staging(array))

    def _staging(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        if self._pinned is None or self._pinned.size < array.nbytes:
            self._pinned = None
            self._pinned = Block(self._stream.cuda, array.nbytes, pinned=True)
        return self._pinned.view(array.shape, array.dtype)
