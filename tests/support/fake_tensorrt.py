"""A TensorRT and a CUDA runtime without a GPU, to test what deals with the real ones.

A fake plan is an ONNX graph behind a line of JSON that says what it was built for. It is refused
as a real one is, by another version or GPU, and runs in ONNX Runtime on host memory.
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk._native.cuda import CudaKernels
from ftsdk.engines.onnxruntime import TYPES, load_runtime
from support.fake_cuda import FakeCuda, FakeStream, Work


def fake_plan(graph: bytes, version: str = "1.0", gpu: str = "sm_89") -> bytes:
    """Return a plan that only a fake TensorRT of this version on this GPU takes."""
    return json.dumps({"version": version, "gpu": gpu}).encode() + b"\n" + graph


class FakeKernels(CudaKernels):
    """The CUDA kernels compiled for this processor, put into a fake's streams.

    Args:
        library: resample.cu, compiled as C++ with keywords of `tests/cuda_on_cpu`.
        cuda: whose streams and memory.
    """

    def __init__(self, library: Path, cuda: FakeCuda) -> None:
        super().__init__(library)
        self._cuda = cuda

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
        block, (height, width) = self._cuda.block, shape
        read = block(picture, 3 * height * width)
        written = block(scratch, self.scratch_bytes(*shape, size)), block(output, 12 * size * size)
        squash = super().resize_normalise
        arguments = (picture, shape, size, statistics, scratch, output, 0)
        self._cuda.put(stream, Work((read,), written, lambda: _ran(squash(*arguments))))
        return 0


def _ran(status: int) -> None:
    assert status == 0


class FakeTensorRt:
    """Stands for the module `tensorrt`: the part of it that running plans takes.

    Args:
        version: what it says its version is.
        gpu: the GPU that it says is here.
        longest: the most that any axis may have, in place of a plan's profile.
    """

    __name__ = "fake_tensorrt"

    class ILogger:
        """Base of loggers, with the severities as attributes."""

        ERROR, INTERNAL_ERROR, WARNING = "error", "internal error", "warning"

        def log(self, severity: str, message: str) -> None:
            """Take a message."""

    class TensorIOMode(Enum):
        """Which way a tensor goes."""

        INPUT, OUTPUT = "input", "output"

    def __init__(self, version: str = "1.0", gpu: str = "sm_89", longest: int = 4096) -> None:
        self.__version__, self.gpu, self.longest = version, gpu, longest

    def Runtime(self, log: Any) -> Any:  # noqa: N802
        """Return what deserialises plans."""
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: self._deserialize(plan, log))

    @staticmethod
    def nptype(dtype: Any) -> Any:
        """Return numpy's name of a data type."""
        return dtype

    def _deserialize(self, plan: bytes, log: Any) -> Any:
        try:
            header, graph = plan.split(b"\n", 1)
            built = json.loads(header)
            runtime = load_runtime()
            session = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        except Exception as error:
            log.log(self.ILogger.ERROR, f"Magic tag does not match: {str(error)[:80]}")
            return None
        here = {"version": self.__version__, "gpu": self.gpu}
        if built != here:
            log.log(self.ILogger.ERROR, f"plan of {built} cannot be loaded on {here}")
            return None
        return _FakeEngine(session, self)


class _FakeEngine:
    def __init__(self, session: Any, trt: FakeTensorRt) -> None:
        self._session, self._trt = session, trt
        mode = trt.TensorIOMode
        inputs = {value.name: mode.INPUT for value in session.get_inputs()}
        outputs = {value.name: mode.OUTPUT for value in session.get_outputs()}
        self._modes: dict[str, Any] = inputs | outputs
        values = (*session.get_inputs(), *session.get_outputs())
        self._types = {value.name: TYPES[value.type] for value in values}
        self._shapes = {value.name: value.shape for value in values}
        self.num_io_tensors = len(self._modes)

    def get_tensor_name(self, index: int) -> str:
        return list(self._modes)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self._modes[name]

    def get_tensor_dtype(self, name: str) -> Any:
        return self._types[name]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(side if isinstance(side, int) else -1 for side in self._shapes[name])

    def create_execution_context(self) -> Any:
        return _FakeContext(self._session, self._types, self._trt.longest)


class _FakeContext:
    """Reads and writes at its addresses when the stream comes to it, as a real one does.

    `changes` counts what was set to something new: a graph that was captured before does not know.
    """

    def __init__(self, session: Any, types: dict[str, Any], longest: int) -> None:
        self._session, self._types, self._longest = session, types, longest
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._inputs = [value.name for value in session.get_inputs()]
        self._outputs = [value.name for value in session.get_outputs()]
        self._results: dict[str, tuple[int, ...]] = {}
        self._changes, self._run_with = 0, -1

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if self._shapes.get(name) != tuple(shape):
            self._shapes[name] = tuple(shape)
            self._results.clear()
            self._changes += 1
        return max(shape, default=0) <= self._longest

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._changes += self._addresses.get(name) != address
        self._addresses[name] = address
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if not self._results:
            empty = {n: np.zeros(self._shapes[n], self._types[n]) for n in self._inputs}
            self._results = {n: value.shape for n, value in self._run(empty).items()}
        return self._results[name]

    def execute_async_v3(self, stream: int) -> bool:
        queue = FakeStream.every[stream]
        if queue.recorded is not None and self._run_with != self._changes:
            queue.broken = True
            return False
        self._run_with = self._changes
        sizes = {name: self._size(name) for name in self._addresses}
        blocks = {n: queue.cuda.block(at, sizes[n]) for n, at in self._addresses.items()}
        addresses, changes, shapes = {**self._addresses}, self._changes, {**self._shapes}

        def act() -> None:
            feed = {n: _read(addresses[n], shapes[n], self._types[n]) for n in self._inputs}
            for name, value in self._run(feed).items():
                found = np.ascontiguousarray(value)
                ctypes.memmove(addresses[name], found.ctypes.data, found.nbytes)

        reads, writes = ([blocks[n] for n in names] for names in (self._inputs, self._outputs))
        stale = lambda: changes != self._changes  # noqa: E731
        queue.cuda.put(stream, Work(tuple(reads), tuple(writes), act, stale))
        return True

    def _size(self, name: str) -> int:
        shape = self._shapes[name] if name in self._inputs else self.get_tensor_shape(name)
        return math.prod(shape) * int(self._types[name].itemsize)

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))


def _read(address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    array = np.empty(shape, dtype)
    ctypes.memmove(array.ctypes.data, address, array.nbytes)
    return array
