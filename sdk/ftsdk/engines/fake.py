"""A TensorRT and a CUDA runtime without a GPU, to test what deals with the real ones.

A fake plan is an ONNX graph behind a line of JSON that says what it was built for. It is refused
as a real one is, by another version or GPU, and runs in ONNX Runtime on host memory.
"""

from __future__ import annotations

import ctypes
import json
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.engines.onnxruntime import TYPES, load_runtime


def fake_plan(graph: bytes, version: str = "1.0", gpu: str = "sm_89") -> bytes:
    """Return a plan that only a fake TensorRT of this version on this GPU takes."""
    return json.dumps({"version": version, "gpu": gpu}).encode() + b"\n" + graph


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
        self.num_io_tensors = len(self._modes)

    def get_tensor_name(self, index: int) -> str:
        return list(self._modes)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self._modes[name]

    def get_tensor_dtype(self, name: str) -> Any:
        return self._types[name]

    def create_execution_context(self) -> Any:
        return _FakeContext(self._session, self._types, self._trt.longest)


class _FakeContext:
    def __init__(self, session: Any, types: dict[str, Any], longest: int) -> None:
        self._session, self._types, self._longest = session, types, longest
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._inputs = [value.name for value in session.get_inputs()]
        self._outputs = [value.name for value in session.get_outputs()]

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = tuple(shape)
        return max(shape, default=0) <= self._longest

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._run()[name].shape

    def execute_async_v3(self, stream: int) -> bool:
        for name, value in self._run().items():
            found = np.ascontiguousarray(value)
            ctypes.memmove(self._addresses[name], found.ctypes.data, found.nbytes)
        return stream != 0

    def _run(self) -> dict[str, NDArray[Any]]:
        feed = {name: self._read(name) for name in self._inputs}
        return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))

    def _read(self, name: str) -> NDArray[Any]:
        array = np.empty(self._shapes[name], self._types[name])
        ctypes.memmove(array.ctypes.data, self._addresses[name], array.nbytes)
        return array


class FakeCuda:
    """Stands for `cuda.bindings.runtime`, with device memory on the host.

    Args:
        capacity: bytes of memory; beyond them an allocation fails as on a full GPU.

    Attributes:
        allocated: bytes that are held now.
    """

    cudaMemcpyKind = SimpleNamespace(  # noqa: N815
        cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2
    )
    _OUT_OF_MEMORY = 2

    def __init__(self, capacity: int = 1 << 40) -> None:
        self._capacity, self._memory = capacity, dict[int, Any]()

    @property
    def allocated(self) -> int:
        """Bytes that are held now."""
        return sum(map(ctypes.sizeof, self._memory.values()))

    def cudaMalloc(self, size: int) -> tuple[int, ...]:  # noqa: N802
        """Allocate."""
        if self.allocated + size > self._capacity:
            return (self._OUT_OF_MEMORY, 0)
        block = ctypes.create_string_buffer(size)
        self._memory[ctypes.addressof(block)] = block
        return 0, ctypes.addressof(block)

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802
        """Free what was allocated."""
        del self._memory[address]
        return (0,)

    def cudaMemcpyAsync(  # noqa: N802
        self, target: int, source: int, size: int, kind: int, stream: int
    ) -> tuple[int]:
        """Copy at once."""
        device = target if kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice else source
        if stream == 0 or device not in self._memory:
            return (1,)
        ctypes.memmove(target, source, size)
        return (0,)

    def cudaStreamCreate(self) -> tuple[int, int]:  # noqa: N802
        """Return a stream's handle."""
        return 0, 1

    def cudaStreamSynchronize(self, _: int) -> tuple[int]:  # noqa: N802
        """Do nothing: everything is done."""
        return (0,)

    def cudaStreamDestroy(self, _: int) -> tuple[int]:  # noqa: N802
        """Do nothing."""
        return (0,)
