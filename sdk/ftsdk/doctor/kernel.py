"""One small kernel on the GPU: whether driver, GPU and their memory do what is asked of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ftsdk.errors import EngineAnswerError, EngineRunError

PTX = Path(__file__).with_name("add_one.ptx")
_BLOCKS, _THREADS = 4, 256


def launch_kernel(driver: Any, index: int) -> int:
    """Let the GPU add 1 to an array, and return how many numbers came back right: all.

    Args:
        driver: `cuda.bindings.driver`, or what stands for it.
        index: the GPU's number.

    Raises:
        EngineRunError: the driver refused a call.
        EngineAnswerError: numbers came back wrong.
    """
    call = _Calls(driver)
    call("cuInit", 0)
    gpu = call("cuDeviceGet", index)
    call("cuCtxSetCurrent", call("cuDevicePrimaryCtxRetain", gpu))
    try:
        return _add_one(call)
    finally:
        call("cuCtxSetCurrent", 0)  # what comes later in this thread finds no context that is gone
        call("cuDevicePrimaryCtxRelease", gpu)


def _add_one(call: _Calls) -> int:
    values = np.arange(_BLOCKS * _THREADS, dtype=np.float32)
    module = call("cuModuleLoadData", PTX.read_bytes() + b"\0")
    data = call("cuMemAlloc", values.nbytes)
    try:
        kernel = call("cuModuleGetFunction", module, b"add_one")
        call("cuMemcpyHtoD", data, values.ctypes.data, values.nbytes)
        given = np.array(int(data), np.uint64), np.array(len(values), np.uint32)
        pointers = np.array([argument.ctypes.data for argument in given], np.uint64)
        grid, block = (_BLOCKS, 1, 1), (_THREADS, 1, 1)
        call("cuLaunchKernel", kernel, *grid, *block, 0, 0, pointers.ctypes.data, 0)
        call("cuCtxSynchronize")
        found = np.empty_like(values)
        call("cuMemcpyDtoH", found.ctypes.data, data, found.nbytes)
    finally:
        call("cuMemFree", data)
        call("cuModuleUnload", module)
    right = int((found == values + 1).sum())
    if right < len(values):
        raise EngineAnswerError(
            "the GPU calculates wrong numbers",
            expected=f"{len(values)} sums",
            found=f"{right} right ones",
            cure="stop overclocking and run NVIDIA's diagnostics; the GPU may be broken",
        )
    return right


class _Calls:
    """The driver's functions by name; a failure is an EngineRunError."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def __call__(self, function: str, *arguments: object) -> Any:
        try:
            status, *results = getattr(self._driver, function)(*arguments)
        except RuntimeError as error:  # no driver library
            raise _failed(function, str(error)) from error
        if int(status) != 0:
            raise _failed(function, f"{getattr(status, 'name', 'error')} ({int(status)})")
        return results[0] if results else None


def _failed(function: str, found: str) -> EngineRunError:
    return EngineRunError(
        f"the GPU's driver failed at {function}",
        expected="success",
        found=found[:400],
        cure="see nvidia-smi and dmesg; reboot after a driver upgrade, or install the driver again",
    )
