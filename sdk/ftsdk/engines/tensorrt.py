"""Plans on TensorRT 10, 11 or TensorRT-RTX: one class, with the module as a parameter."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensor, Tensors
from ftsdk.engines.device_memory import CudaTensor, Staged, allocate
from ftsdk.engines.tensorrt_binding import TensorRtBinding
from ftsdk.engines.tensorrt_plan import LoadedPlan
from ftsdk.errors import DeviceUnavailableError, EngineNotInstalledError

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


class TensorRtEngine(LoadedPlan, Engine):
    """A plan on the GPU as an engine; takes what `LoadedPlan` takes.

    `infer`, `bind` and a binding's `run` raise EngineRunError where a call fails or a shape lies
    outside the plan's profile. Calls from several threads take turns. Every call waits for its
    stream at its end, so that a tensor is whole, and a stage's time and errors are its own.
    """

    def __init__(self, plan: bytes, name: str, trt: Any, cuda: Any) -> None:
        super().__init__(plan, name, trt, cuda)
        self._staged = {name: Staged(self.stream) for name in self.inputs}

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        del cancellation  # TensorRT ends what is in the stream.
        with self.lock:
            self.require_open()
            context = self.context
            for name, staged in self._staged.items():
                self.check(name, inputs[name])
                self.set_shape(context, name, inputs[name].shape)
                context.set_tensor_address(name, self._on_device(inputs[name], staged))
            shapes = {name: tuple(context.get_tensor_shape(name)) for name in self.outputs}
            results = allocate(self.stream.cuda, shapes, self.types)
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
            if self.is_open:
                self._staged.clear()
                self.release()
