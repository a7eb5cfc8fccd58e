"""Pixels from one process to another: memory that nobody can change or cut once it is handed over.

Linux only. The receiver trusts no sender: it takes sealed memory of the right size, and nothing
else.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray


def sealed(content: Any) -> int:
    """Return the descriptor of memory that holds a buffer's bytes for good.

    Raises:
        OSError: no memory, or less than that is allowed for a file (`ulimit -f`).
    """
    descriptor = os.memfd_create("ftsdk", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(content).cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def mapped(descriptor: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return sealed memory as an array of `shape` uint8 that cannot be written to, without a copy.

    No descriptor stays open for it, so that thousands of arrays may be kept.

    Raises:
        ValueError: memory of another size, or not sealed.
        OSError: no such memory.
    """
    size = int(np.prod(shape, dtype=np.int64))
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) != _seals():
        raise ValueError("the memory can still be changed")
    if os.fstat(descriptor).st_size != size:
        raise ValueError("the memory is of another size")
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    address = _libc().mmap(None, size, mmap.PROT_READ, flags, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    memory = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(memory, _libc().munmap, address, size).atexit = False  # arrays may outlive it
    return np.frombuffer(memoryview(memory).toreadonly(), np.uint8).reshape(shape)


def _seals() -> int:  # other systems have none, and import this
    return fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    numbers = [ctypes.c_int] * 3
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *numbers, ctypes.c_long]
    libc.mmap.restype = ctypes.c_void_p
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc
