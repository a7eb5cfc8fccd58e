"""A CUDA runtime without a GPU, as late as a real one may be and stricter about wrong use.

What is put into a stream happens when the stream is waited for, so that an answer read too early,
or an input overwritten too early, is wrong here every time and not now and then.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar
from weakref import WeakValueDictionary

_OUT_OF_MEMORY, _CAPTURING, _CAPTURE_BROKEN = 2, 900, 901


@dataclass(frozen=True)
class FakeBlock:
    """Allocated memory."""

    memory: Any
    pinned: bool

    @property
    def address(self) -> int:
        """Where it begins."""
        return ctypes.addressof(self.memory)

    @property
    def size(self) -> int:
        """Bytes."""
        return ctypes.sizeof(self.memory)


@dataclass(frozen=True)
class Work:
    """One thing in a stream.

    Attributes:
        reads: the blocks that it reads.
        writes: the blocks that it writes.
        act: does it.
        stale: says whether a graph that holds it must not be replayed any more.
    """

    reads: tuple[FakeBlock, ...]
    writes: tuple[FakeBlock, ...]
    act: Callable[[], None] = lambda: None
    stale: Callable[[], bool] = lambda: False

    def clashes(self, other: Work) -> bool:
        """Say whether the order of the two matters."""
        mine, theirs = set(map(id, self.writes)), set(map(id, other.writes))
        return bool(
            mine & set(map(id, (*other.reads, *other.writes)))
            or theirs & set(map(id, (*self.reads, *self.writes)))
        )


class FakeStream:
    """A stream: what waits in it, or what a capture has recorded so far."""

    #: Every stream by its handle, which is all that TensorRT is told.
    every: ClassVar[WeakValueDictionary[int, FakeStream]] = WeakValueDictionary()
    _handles = itertools.count(1)

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda, self.handle = cuda, next(self._handles)
        self.waiting: list[Work] = []
        self.recorded: list[Work] | None = None
        self.broken, self.capturer = False, 0
        self.every[self.handle] = self


class FakeCuda:
    """Stands for `cuda.bindings.runtime`, with device memory on the host.

    Args:
        capacity: bytes of memory; beyond them an allocation fails as on a full GPU.
        captures: whether streams can be captured.

    Wrong use raises AssertionError and is kept in `faults`: memory used after it was freed or
    beyond its end, freed while in use, used by two streams of which neither waited for the other,
    a graph replayed whose memory is gone or whose context was changed.
    """

    cudaMemcpyKind = SimpleNamespace(  # noqa: N815
        cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815
    cudaStreamNonBlocking, cudaHostAllocDefault = 1, 0  # noqa: N815

    def __init__(self, capacity: int = 1 << 40, captures: bool = True) -> None:
        self._capacity, self._captures = capacity, captures
        self._blocks: dict[int, FakeBlock] = {}
        self._streams: dict[int, FakeStream] = {}
        self._graphs: dict[int, list[Work]] = {}
        self._numbers, self._lock = itertools.count(1), threading.RLock()
        self.faults: list[str] = []
        self.launches = 0

    @property
    def allocated(self) -> int:
        """Bytes of device memory that are held now."""
        return sum(block.size for block in self._blocks.values() if not block.pinned)

    @property
    def held(self) -> dict[str, int]:
        """How many things of each kind nobody has given back."""
        pinned = sum(block.pinned for block in self._blocks.values())
        counts = {
            "device blocks": len(self._blocks) - pinned,
            "pinned blocks": pinned,
            "streams": len(self._streams),
            "graphs": len(self._graphs),
        }
        return {kind: count for kind, count in counts.items() if count}

    def fault(self, found: str) -> AssertionError:
        """Keep a wrong use and return it as an error."""
        self.faults.append(found)
        return AssertionError(found)

    def block(self, address: int, size: int) -> FakeBlock:
        """Return the block in which `size` bytes lie at `address`."""
        for block in self._blocks.values():
            if block.address <= address < block.address + block.size:
                if address + size > block.address + block.size:
                    raise self.fault(f"{size} bytes do not fit into a block of {block.size}")
                return block
        raise self.fault(f"{size} bytes at an address that is not allocated, or no more")

    def stream(self, handle: int) -> FakeStream:
        """Return a stream by its handle."""
        if int(handle) not in self._streams:
            raise self.fault("a stream that was not created, or is destroyed")
        return self._streams[int(handle)]

    def put(self, handle: int, work: Work) -> None:
        """Put work into a stream, or into the graph that it is captured into."""
        stream = self.stream(handle)
        if stream.recorded is not None:
            stream.recorded.append(work)
            return
        with self._lock:
            self._require_order(work, stream)
            stream.waiting.append(work)

    def _require_order(self, work: Work, own: FakeStream | None) -> None:
        for stream in self._streams.values():
            if stream is not own and any(work.clashes(other) for other in stream.waiting):
                raise self.fault("memory that another stream still uses, without waiting for it")

    def _refused(self) -> bool:
        """Break the captures of this thread, in which only asynchronous calls are allowed."""
        mine = [s for s in self._streams.values() if s.capturer == threading.get_ident()]
        for stream in mine:
            stream.broken = True
        return bool(mine)

    def _allocate(self, size: int, pinned: bool) -> tuple[int, int | None]:
        if self._refused():
            return _CAPTURING, None
        if not pinned and self.allocated + size > self._capacity:
            return _OUT_OF_MEMORY, None
        block = FakeBlock(ctypes.create_string_buffer(b"\xff" * size, size), pinned)
        with self._lock:
            self._blocks[block.address] = block
        return 0, block.address

    def _free(self, address: int, pinned: bool) -> tuple[int]:
        if self._refused():
            return (_CAPTURING,)
        with self._lock:
            block = self._blocks.get(address)
            if block is None or block.pinned != pinned:
                raise self.fault("memory freed that is not allocated, or by the wrong call")
            self._require_order(Work((), (block,)), None)
            del self._blocks[address]
        return (0,)

    def cudaMalloc(self, size: int) -> tuple[int, int | None]:  # noqa: N802
        """Allocate device memory, filled with what is no number."""
        return self._allocate(size, pinned=False)

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802
        """Free device memory."""
        return self._free(address, pinned=False)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[int, int | None]:  # noqa: N802
        """Allocate pinned memory."""
        assert flags == self.cudaHostAllocDefault
        return self._allocate(size, pinned=True)

    def cudaFreeHost(self, address: int) -> tuple[int]:  # noqa: N802
        """Free pinned memory."""
        return self._free(address, pinned=True)

    def cudaMemcpy(self, target: int, source: int, size: int, kind: int) -> tuple[int]:  # noqa: N802
        """Copy from the device at once."""
        if self._refused():
            return (_CAPTURING,)
        assert kind == self.cudaMemcpyKind.cudaMemcpyDeviceToHost
        with self._lock:
            self._require_order(Work((self.block(source, size),), ()), None)
        ctypes.memmove(target, source, size)
        return (0,)

    def cudaMemcpyAsync(  # noqa: N802
        self, target: int, source: int, size: int, kind: int, handle: int
    ) -> tuple[int]:
        """Copy when the stream comes to it; ordinary host memory is read at once, as CUDA does."""
        upload = kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice
        device = self.block(target if upload else source, size)
        host = self._pinned(source if upload else target, size)
        if host is None and not upload:
            raise self.fault("an asynchronous copy to ordinary host memory")
        if host is None and self.stream(handle).recorded is not None:
            self.stream(handle).broken = True
            return (_CAPTURING,)
        given = ctypes.string_at(source, size) if host is None else source
        ends = ((host,) if host else (), (device,))
        reads, writes = ends if upload else (ends[1], ends[0])
        self.put(handle, Work(reads, writes, lambda: _move(target, given, size)))
        return (0,)

    def _pinned(self, address: int, size: int) -> FakeBlock | None:
        inside = (b for b in self._blocks.values() if 0 <= address - b.address < b.size)
        return self.block(address, size) if any(block.pinned for block in inside) else None

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, int]:  # noqa: N802
        """Return a stream's handle."""
        assert flags == self.cudaStreamNonBlocking
        stream = FakeStream(self)
        self._streams[stream.handle] = stream
        return 0, stream.handle

    def cudaStreamSynchronize(self, handle: int) -> tuple[int]:  # noqa: N802
        """Do what waits in the stream."""
        if self._refused():
            return (_CAPTURING,)
        stream = self.stream(handle)
        while stream.waiting:
            stream.waiting[0].act()
            with self._lock:
                stream.waiting.pop(0)
        return (0,)

    def cudaStreamDestroy(self, handle: int) -> tuple[int]:  # noqa: N802
        """Give a stream back."""
        self.stream(handle)
        del self._streams[handle]
        return (0,)

    def cudaStreamBeginCapture(self, handle: int, mode: int) -> tuple[int]:  # noqa: N802
        """Record what is put into the stream from now on."""
        assert mode == self.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        stream = self.stream(handle)
        stream.recorded, stream.capturer = [], threading.get_ident()
        stream.broken = not self._captures
        return (0,)

    def cudaStreamEndCapture(self, handle: int) -> tuple[int, int | None]:  # noqa: N802
        """Return the graph of what was recorded."""
        stream = self.stream(handle)
        recorded, stream.recorded, stream.capturer = stream.recorded, None, 0
        if stream.broken or recorded is None:
            return _CAPTURE_BROKEN, None
        return 0, self._keep(recorded)

    def _keep(self, works: Sequence[Work]) -> int:
        number = next(self._numbers)
        self._graphs[number] = [*works]
        return number

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[int, int]:  # noqa: N802
        """Return what can be launched."""
        assert flags == 0
        return 0, self._keep(self._graphs[graph])

    def cudaGraphLaunch(self, graph: int, handle: int) -> tuple[int]:  # noqa: N802
        """Put a graph's work into a stream."""
        for work in self._graphs[graph]:
            if work.stale():
                raise self.fault("a graph replayed whose context was changed since")
            for block in (*work.reads, *work.writes):
                if self._blocks.get(block.address) is not block:
                    raise self.fault("a graph replayed whose memory was freed since")
            self.put(handle, work)
        self.launches += 1
        return (0,)

    def cudaGraphDestroy(self, graph: int) -> tuple[int]:  # noqa: N802
        """Give a graph back."""
        del self._graphs[graph]
        return (0,)

    cudaGraphExecDestroy = cudaGraphDestroy  # noqa: N815

    def cudaGetLastError(self) -> tuple[int]:  # noqa: N802
        """Forget the last error."""
        return (0,)


def _move(target: int, source: int | bytes, size: int) -> None:
    ctypes.memmove(target, source, size)
