"""Plans on TensorRT 10, 11 or TensorRT-RTX: one class, with the module as a parameter."""

from __future__ import annotations

import importlib
import threading
from types import ModuleType
from typing import Any

import numpy as np

from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensor, Tensors
from ftsdk.engines.device_memory import CudaTensor, Staged, Stream, allocate
from ftsdk.engines.tensorrt_binding import TensorRtBinding
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
    """A plan on the GPU, with one stream, and one execution context outside of captured graphs.

    Args:
        plan: a plan's verified bytes.
        name: the stage, for messages.
        trt: `tensorrt` or `tensorrt_rtx`.
        cuda: `cuda.bindings.runtime`.

    Raises:
        EngineLoadError: the runtime refused the plan.

    `infer`, `bind` and a binding's `run` raise EngineRunError where a call fails or a shape lies
    outside the plan's profile. Calls from several threads take turns. Every call waits for its
    stream at its end, so that a tensor is whole, and a stage's time and errors are its own.

    Attributes:
        context: the one outside of captured graphs; its user holds `lock`.
        capturable: whether no capture of a CUDA graph has failed so far.
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
        self._outputs = [n for n in names if n not in given]
        self._inputs = {n: Staged(self.stream) for n in names if n in given}
        self.capturable = True

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        del cancellation  # TensorRT ends what is in the stream.
        with self.lock:
            self.require_open()
            context = self.context
            for name, staged in self._inputs.items():
                self.check(name, inputs[name])
                self.set_shape(context, name, inputs[name].shape)
                context.set_tensor_address(name, self._on_device(inputs[name], staged))
            shapes = {name: tuple(context.get_tensor_shape(name)) for name in self._outputs}
            results = allocate(self.stream.cuda, shapes, self._types)
            for name, tensor in results.items():
                context.set_tensor_address(name, tensor.address)
            self.execute(context)
            self.stream.synchronise()
        return results

    def _on_device(self, tensor: Tensor, staged: Staged) -> int:
        """Return the address of a tensor, uploaded unless it is on the device."""
        if isinstance(tensor, CudaTensor):
            return tensor.address
        array = np.asarray(tensor)
        staged.write(array)
        staged.upload(array.nbytes)
        return staged.address

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        with self.lock:
            return TensorRtBinding(self, inputs, outputs)

    def close(self) -> None:
        with self.lock:
            if self._engine is None:
                return
            self._inputs.clear()
            self.context = self._engine = None
            self.stream.close()

    def require_open(self) -> None:
        """Raise EngineRunError if the engine was closed."""
        if self._engine is None:
            raise self._failed("an open engine", "it is closed")

    def require_all(self, outputs: Arrays) -> None:
        """Raise EngineRunError if an output of the plan has no array."""
        if set(outputs) != set(self._outputs):
            raise self._failed(f"arrays for {', '.join(self._outputs)}", ", ".join(outputs))

    def new_context(self) -> Any:
        """Return a context that will belong to a captured graph."""
        return self._engine.create_execution_context()

    def check(self, name: str, tensor: Tensor) -> None:
        """Raise EngineRunError where the plan cannot take this tensor as its input `name`."""
        if tensor.dtype != self._types[name]:
            raise self._failed(f"{name} as {self._types[name]}", str(tensor.dtype))

    def set_shape(self, context: Any, name: str, shape: tuple[int, ...]) -> None:
        """Tell a context an input's shape."""
        if not context.set_input_shape(name, shape):
            raise self._failed("shapes inside the plan's profile", f"{name} {list(shape)}")

    def execute(self, context: Any) -> None:
        """Put one run into the stream."""
        if not context.execute_async_v3(int(self.stream.handle)):
            raise self._failed("a run without errors", "TensorRT reported a failure")

    def _failed(self, expected: str, found: str) -> EngineRunError:
        return EngineRunError(
            f"TensorRT could not run {self.name}",
            expected=expected,
            found=found,
            cure='fewer beams or tokens, a new build, or device="cpu"',
        )


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
