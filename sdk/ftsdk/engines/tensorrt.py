"""TensorRT 10 and 11 and TensorRT-RTX: which is installed, and which GPU is here."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

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
