"""A CUDA driver without a GPU: memory on the host, and a kernel that is written in Python."""

from __future__ import annotations

import ctypes
from typing import Any


class FakeDriver:
    """Stands for `cuda.bindings.driver`.

    Args:
        failing: a function that answers with an error.
        step: what the kernel adds to each number; a right one adds 1.

    Attributes:
        held: contexts, modules and allocations that were not given back.
    """

    def __init__(self, failing: str = "", step: float = 1.0) -> None:
        self._failing, self._step = failing, step
        self._memory = dict[int, Any]()
        self.held = 0
        self.current: object = None

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cu") and name == object.__getattribute__(self, "_failing"):
            return lambda *_: (999,)
        return object.__getattribute__(self, name)

    def cuInit(self, _: int) -> tuple[int]:  # noqa: N802
        return (0,)

    def cuDeviceGet(self, index: int) -> tuple[int, int]:  # noqa: N802
        return 0, index

    def cuDevicePrimaryCtxRetain(self, _: int) -> tuple[int, str]:  # noqa: N802
        self.held += 1
        return 0, "context"

    def cuDevicePrimaryCtxRelease(self, _: int) -> tuple[int]:  # noqa: N802
        self.held -= 1
        return (0,)

    def cuCtxSetCurrent(self, context: object) -> tuple[int]:  # noqa: N802
        self.current = context
        return (0,)

    def cuModuleLoadData(self, image: bytes) -> tuple[int, bytes]:  # noqa: N802
        self.held += 1
        return 0, image

    def cuModuleUnload(self, _: bytes) -> tuple[int]:  # noqa: N802
        self.held -= 1
        return (0,)

    def cuModuleGetFunction(self, image: bytes, name: bytes) -> tuple[int, ...]:  # noqa: N802
        found = b".entry " + name + b"(.param .u64 data, .param .u32 count)" in image
        return (0, 7) if found and image.endswith(b"\0") else (500, 0)

    def cuMemAlloc(self, size: int) -> tuple[int, int]:  # noqa: N802
        block = ctypes.create_string_buffer(size)
        self._memory[ctypes.addressof(block)] = block
        self.held += 1
        return 0, ctypes.addressof(block)

    def cuMemFree(self, address: int) -> tuple[int]:  # noqa: N802
        del self._memory[address]
        self.held -= 1
        return (0,)

    def cuMemcpyHtoD(self, target: int, source: int, size: int) -> tuple[int]:  # noqa: N802
        assert target in self._memory
        ctypes.memmove(target, source, size)
        return (0,)

    def cuMemcpyDtoH(self, target: int, source: int, size: int) -> tuple[int]:  # noqa: N802
        assert source in self._memory
        ctypes.memmove(target, source, size)
        return (0,)

    def cuCtxSynchronize(self) -> tuple[int]:  # noqa: N802
        return (0,)

    def cuLaunchKernel(self, kernel: int, *given: Any) -> tuple[int]:  # noqa: N802
        *sizes, shared, stream, pointers, extra = given
        assert (kernel, shared, stream, extra) == (7, 0, 0, 0)
        blocks, _, _, threads, _, _ = sizes
        first, second = (ctypes.c_void_p.from_address(pointers + 8 * n).value for n in range(2))
        data = ctypes.c_uint64.from_address(first or 0).value
        count = ctypes.c_uint32.from_address(second or 0).value
        values = (ctypes.c_float * count).from_address(data)
        for index in range(min(blocks * threads, count)):
            values[index] += self._step
        return (0,)
