"""Plans on TensorRT 10, 11 or TensorRT-RTX: one class, with the module as a parameter."""

from __future__ import annotations

import importlib
import threading
from types import ModuleType
from typing import Any

import numpy as np

from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensor, Tensors
from ftsdk.engines.device_memory import Buffer, Stream
from ftsdk.errors import (
    DeviceUnavailableError,
    EngineLoadError,
    EngineNotInstalledError,
    EngineRunError,
)

MODULES = ("tensorrt", "tensorrt_rtx")
_CURES = {
    "tensorrt": "install TensorRT from NVIDIA or with JetPack",
    "tensorrt_rtx": 'pip install "ftsdk[rtx]"',
}


def load_tensorrt(*names: str) -> ModuleType:
    """Import the first of `names` that is installed; without names, any TensorRT.

    Raises:
        EngineNotInstalledError: none is.
    """
    reasons = []
    for name in names or MODULES:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:
            reasons.append(f"{name}: {error}")
            continue
        if hasattr(module, "Builder") and hasattr(module, "Runtime"):
            return module
        reasons.append(f"{name}: an empty package")
    raise EngineNotInstalledError(
        "no TensorRT is installed",
        expected=" or ".join(names or MODULES),
        found="; ".join(reasons)[:400],
        cure=" or ".join(_CURES[name] for name in names or MODULES),
    )


def runtime_name(module: ModuleType) -> str:
    """Return a TensorRT's name and full version."""
    return f"{module.__name__} {module.__version__}"


def this_gpu(module: ModuleType) -> str:
    """Return the GPU that is here as plans name it: `sm_89`, for TensorRT with the GPU's name.

    TensorRT-RTX plans run on every GPU of a compute capability, TensorRT's on one kind of GPU.

    Raises:
        DeviceUnavailableError: no GPU, no driver, or no `cuda-python`.
    """
    properties = _properties()
    capability = f"sm_{properties.major}{properties.minor}"
    if module.__name__ == "tensorrt_rtx":
        return capability
    return f"{capability} {properties.name.decode().strip()}"


def cuda() -> Any:
    """Import NVIDIA's CUDA runtime bindings.

    Raises:
        DeviceUnavailableError: they are missing.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except (ImportError, OSError) as error:
        raise _no_gpu(str(error), 'pip install "ftsdk[rtx]"') from error


def _properties() -> Any:
    runtime = cuda()
    try:
        status, properties = runtime.cudaGetDeviceProperties(0)
    except RuntimeError as error:
        raise _no_gpu(str(error), "install NVIDIA's driver") from error
    if int(status) != 0:
        raise _no_gpu(f"CUDA error {int(status)}", "install NVIDIA's driver; see nvidia-smi")
    return properties


def _no_gpu(found: str, cure: str) -> DeviceUnavailableError:
    return DeviceUnavailableError(
        "there is no NVIDIA GPU that can be used here",
        expected="a GPU, its driver, and cuda-python",
        found=found[:400],
        cure=f"{cure}; for another GPU than this one, name it: --engines sm_89",
    )


class TensorRtEngine(Engine):
    """A plan on the GPU, with one execution context and one stream.

    Args:
        plan: a plan's verified bytes.
        name: the stage, for messages.
        trt: `tensorrt` or `tensorrt_rtx`.
        cuda: `cuda.bindings.runtime`.

    Raises:
        EngineLoadError: the runtime refused the plan.

    `infer`, `bind` and a binding's `run` raise EngineRunError where a call fails or a shape lies
    outside the plan's profile. Calls from several threads take turns.
    """

    def __init__(self, plan: bytes, name: str, trt: Any, cuda: Any) -> None:
        self.name = name
        log = error_log(trt)
        engine = trt.Runtime(log).deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineLoadError(
                f"{trt.__name__} {trt.__version__} refused the engine of {name}",
                expected="a plan for this GPU, driver and version",
                found="; ".join(log.errors)[:400] or "no reason given",
                cure="build it again on this machine: ft-export BUNDLE --engines this",
            )
        self._engine, self.context = engine, engine.create_execution_context()
        self.stream, self.lock = Stream(cuda), threading.Lock()
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self._types = {n: np.dtype(trt.nptype(engine.get_tensor_dtype(n))) for n in names}
        given = {n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT}
        self.inputs = [n for n in names if n in given]
        self.outputs = [n for n in names if n not in given]
        self._buffers = {n: Buffer(self.stream) for n in names}

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        del cancellation  # TensorRT ends what is in the stream.
        with self.lock:
            for name in self.inputs:
                self.give(name, inputs[name], self._buffers[name])
            results = {}
            for name in self.outputs:
                results[name] = np.empty(self.shape_of(name), self._types[name])
                address = self._buffers[name].reserve(max(1, results[name].nbytes))
                self.context.set_tensor_address(name, address)
            self.execute()
            for name, array in results.items():
                self._buffers[name].download(array)
            self.stream.synchronise()
        return results

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        with self.lock:
            return _TensorRtBinding(self, inputs, outputs)

    def close(self) -> None:
        with self.lock:
            if self._engine is None:
                return
            for buffer in self._buffers.values():
                buffer.free()
            self.context = self._engine = None
            self.stream.close()

    def give(self, name: str, tensor: Tensor, buffer: Buffer) -> None:
        """Upload an input and tell the context its shape."""
        if self.context is None:
            raise self.failed("an open engine", "it is closed")
        array = np.asarray(tensor, order="C")
        if array.dtype != self._types[name]:
            raise self.failed(f"{name} as {self._types[name]}", str(array.dtype))
        self.set_shape(name, array.shape)
        self.context.set_tensor_address(name, buffer.upload(array))

    def set_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Tell the context an input's shape."""
        if not self.context.set_input_shape(name, shape):
            raise self.failed("shapes inside the plan's profile", f"{name} {list(shape)}")

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return an output's shape for the inputs that were given."""
        return tuple(self.context.get_tensor_shape(name))

    def execute(self) -> None:
        """Put one run into the stream."""
        if not self.context.execute_async_v3(int(self.stream.handle)):
            raise self.failed("a run without errors", "TensorRT reported a failure")

    def failed(self, expected: str, found: str) -> EngineRunError:
        """Return an error about this engine."""
        return EngineRunError(
            f"TensorRT could not run {self.name}",
            expected=expected,
            found=found,
            cure='fewer beams or tokens, a new build, or device="cpu"',
        )


class _TensorRtBinding(Binding):
    """Fixed inputs are uploaded once; what is input and output stays on the device, in two copies.

    A step reads one copy and writes the other, then they change places: TensorRT does not promise
    that an output may be its input's own memory.
    """

    def __init__(self, engine: TensorRtEngine, inputs: Tensors, outputs: Arrays) -> None:
        self._engine, self._outputs = engine, outputs
        self._buffers = {name: Buffer(engine.stream) for name in (*engine.inputs, *outputs)}
        owners = {id(array): name for name, array in inputs.items()}
        self._pairs = {n: owners[id(a)] for n, a in outputs.items() if id(a) in owners}
        self._shapes = {name: array.shape for name, array in inputs.items()}
        for name, array in inputs.items():
            engine.give(name, array, self._buffers[name])
        for name, array in outputs.items():
            self._buffers[name].reserve(max(1, array.nbytes))

    def run(self, changed: Arrays) -> None:
        engine = self._engine
        with engine.lock:
            for name, shape in self._shapes.items():
                if name not in changed:
                    engine.set_shape(name, shape)
            for name, array in changed.items():
                engine.give(name, array, self._buffers[name])
            for name, buffer in self._buffers.items():
                engine.context.set_tensor_address(name, buffer.address)
            engine.execute()
            for output, given in self._pairs.items():
                self._buffers[output], self._buffers[given] = (
                    self._buffers[given],
                    self._buffers[output],
                )
            for name, array in self._outputs.items():
                if name not in self._pairs:
                    self._buffers[name].download(array)
            engine.stream.synchronise()

    def __del__(self) -> None:
        for buffer in self._buffers.values():
            buffer.free()


def error_log(trt: Any) -> Any:
    """Return a logger that keeps TensorRT's errors; its base class is the module's own."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

    return Log()
