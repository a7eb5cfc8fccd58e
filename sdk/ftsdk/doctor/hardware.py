"""The machine: processor, GPUs, Jetson release, power mode; and a kernel where there is a GPU."""

from __future__ import annotations

import importlib
import importlib.util
import platform
from collections.abc import Iterator
from typing import Any

import psutil

from ftsdk import machine
from ftsdk.doctor.findings import Findings
from ftsdk.doctor.kernel import launch_kernel
from ftsdk.errors import DeviceUnavailableError


def check_machine() -> Findings:
    """Describe the machine; a driver whose own tool fails is a fault."""
    found = Findings("machine")
    facts = {
        "system": platform.platform(),
        "Python": platform.python_version(),
        "processor": f"{machine.cores()} cores of {machine.cpu_name()}",
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "board": machine.board(),
        "L4T": machine.l4t(),
        "power mode": " ".join((machine.power_mode() or "").split()),
        "clock governor": machine.governor(),
    }
    found.facts |= {name: value for name, value in facts.items() if value}
    for index, gpu in enumerate(machine.gpus()):
        found.facts[f"GPU {index}"] = ", ".join(f"{k} {v}" for k, v in gpu.items())
    listed = machine.run(("nvidia-smi", "--list-gpus"))
    if listed and listed.failure:
        found.add("NVIDIA driver", _driver_fault(listed.failure))
    return found


def has_gpu() -> bool:
    """Say whether this machine has an NVIDIA GPU, be it usable or not."""
    if machine.l4t() or machine.gpus():
        return True
    try:
        return bool([*cuda_gpus()])
    except DeviceUnavailableError:
        return False


def check_gpu(index: int) -> Findings:
    """Describe the GPUs as CUDA sees them, and launch a kernel on number `index`."""
    found = Findings("GPU")
    if not has_cuda_bindings():
        found.facts["CUDA"] = "not asked: cuda-bindings is not installed"
        return found
    try:
        found.facts |= {f"GPU {number}": text for number, text in enumerate(cuda_gpus())}
    except DeviceUnavailableError as error:
        found.facts["CUDA"] = f"none: {error.found}"
        return found
    if f"GPU {index}" not in found.facts:
        found.add("kernel", _no_such_gpu(index, len(found.facts)))
        return found
    with found.collecting("kernel"):
        driver = importlib.import_module("cuda.bindings.driver")
        found.facts["kernel"] = f"launched; {launch_kernel(driver, index)} sums are right"
    return found


def has_cuda_bindings() -> bool:
    """Say whether NVIDIA's Python bindings are installed."""
    try:
        return importlib.util.find_spec("cuda.bindings.driver") is not None
    except ModuleNotFoundError:  # not even a package `cuda`
        return False


def cuda_gpus() -> Iterator[str]:
    """Yield each GPU's name, compute capability and memory.

    Raises:
        DeviceUnavailableError: no GPU, no driver, or no `cuda-bindings`.
    """
    from ftsdk.engines.tensorrt import cuda

    runtime = cuda()
    for index in range(_count(runtime)):
        status, gpu = runtime.cudaGetDeviceProperties(index)
        if int(status) != 0:
            raise _unusable(f"CUDA error {int(status)} of GPU {index}")
        name = gpu.name.decode().strip("\0 ")
        yield f"{name}, sm_{gpu.major}{gpu.minor}, {gpu.totalGlobalMem / 1e9:.1f} GB"


def _count(runtime: Any) -> int:
    try:
        status, count = runtime.cudaGetDeviceCount()
    except RuntimeError as error:
        raise _unusable(str(error)) from error
    if int(status) != 0:
        raise _unusable(getattr(status, "name", f"CUDA error {int(status)}"))
    if count == 0:
        raise _unusable("no GPU")
    return int(count)


def _unusable(found: str) -> DeviceUnavailableError:
    return DeviceUnavailableError(
        "there is no NVIDIA GPU that can be used here",
        expected="a GPU and its driver",
        found=found[:400],
        cure='install NVIDIA\'s driver and see nvidia-smi, or pass device="cpu"',
    )


def _no_such_gpu(index: int, count: int) -> DeviceUnavailableError:
    return DeviceUnavailableError(
        f"there is no GPU {index}",
        expected=f"a number below {count}",
        found=str(index),
        cure="pass another number, as --device cuda:0",
    )


def _driver_fault(found: str) -> DeviceUnavailableError:
    return DeviceUnavailableError(
        "NVIDIA's driver does not work",
        expected="nvidia-smi lists the GPUs",
        found=" ".join(found.split())[:400],
        cure="reboot, as after every upgrade of the driver; else install the driver again",
    )
