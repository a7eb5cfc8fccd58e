"""Decoding where it can be ended from outside: in processes of its own.

A hostile picture can keep a decoder busy for minutes, take all memory, or crash it, and so can its
Content Credentials the library that reads them. Here that costs
a process with limits on memory and time (`decoder_process.py`), and one picture its answer.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import numpy as np

from ftsdk.errors import (
    EngineRunError,
    ImageDamagedError,
    ImageLimitError,
    InputError,
    InstallationError,
    OptionError,
)
from ftsdk.imaging.codec import Decoded
from ftsdk.imaging.decoder_answers import read_credentials, read_error, read_facts
from ftsdk.imaging.decoder_process import CREDENTIALS, LENGTH, PIXELS, REQUEST
from ftsdk.imaging.picture import check_size
from ftsdk.imaging.sealed import mapped
from ftsdk.report.credentials import Credentials, unreadable
from ftsdk.stopwatch import Stopwatch

#: Seconds of computing that one picture may take, and of waiting for them on a busy machine.
CPU_SECONDS, WALL_SECONDS = 60, 120
_MAX_ANSWER = 1 << 16
_SENSELESS = LookupError, TypeError, ValueError, AttributeError, RecursionError
T = TypeVar("T")
# The path is the parent's, and set before anything is imported from the working directory.
_START = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from ftsdk.imaging.decoder_process import main; main(*map(int, sys.argv[1:3]))"
)


class _GoneError(Exception):
    """The process ended, or answered what it never would by itself."""


class _Process:
    """One process, and the socket to it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                _command(str(theirs.fileno()), str(CPU_SECONDS)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "MALLOC_ARENA_MAX": "1"},  # arenas count as memory, unused too
            )
        self._killed = False
        self.ready = False

    @property
    def usable(self) -> bool:
        return not self._killed and self._process.poll() is None

    def decode(self, data: bytes, max_pixels: int, seconds: float) -> Decoded:
        """Raise the picture's own error, _GoneError, or TimeoutError after `seconds`."""

        def read(document: Any, memory: int | None, deadline: float) -> Decoded:
            height, width, channels = shape = tuple(map(int, document["shape"]))
            check_size(width, height, max_pixels)
            if channels != 3:
                raise ValueError(shape)
            facts = read_facts(document)
            if memory is not None:
                return Decoded(mapped(memory, shape), *facts)
            pixels = np.empty(shape, np.uint8)
            self._receive_into(pixels.data.cast("B"), deadline)
            return Decoded(pixels, *facts)

        return self._ask(PIXELS, data, max_pixels, seconds, read)

    def credentials(self, data: bytes, seconds: float) -> Credentials:
        """Raise _GoneError, or TimeoutError after `seconds`."""
        return self._ask(CREDENTIALS, data, 0, seconds, lambda said, *_: read_credentials(said))

    def _ask(
        self,
        kind: int,
        data: bytes,
        max_pixels: int,
        seconds: float,
        read: Callable[[Any, int | None, float], T],
    ) -> T:
        deadline = time.monotonic() + seconds
        try:
            if not self.ready:
                with self._received(deadline):
                    self.ready = True
            self._send(REQUEST.pack(kind, len(data), max_pixels), deadline)
            self._send(data, deadline)
            with self._received(deadline) as (document, memory):
                if "error" in document:
                    raise read_error(document)
                return read(document, memory, deadline)
        except (InputError, TimeoutError):
            raise
        except (OSError, *_SENSELESS) as error:
            raise _GoneError from error  # a picture may have taken the process over

    def _send(self, message: bytes, deadline: float) -> None:
        view = memoryview(message)
        while view:
            self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            view = view[self._socket.send(view) :]

    @contextmanager
    def _received(self, deadline: float) -> Iterator[tuple[Any, int | None]]:
        """Give the next document, and the descriptor that came with it until the block ends."""
        self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
        flags = socket.MSG_CMSG_CLOEXEC
        head, descriptors, *_ = socket.recv_fds(self._socket, LENGTH.size, 1, flags)
        with ExitStack() as opened:
            for descriptor in descriptors:
                opened.callback(os.close, descriptor)
            (length,) = LENGTH.unpack(head + self._receive(LENGTH.size - len(head), deadline))
            if length > _MAX_ANSWER:
                raise _GoneError
            document = json.loads(self._receive(length, deadline))
            yield document, descriptors[0] if descriptors else None

    def _receive(self, length: int, deadline: float) -> bytes:
        buffer = bytearray(length)
        self._receive_into(memoryview(buffer), deadline)
        return bytes(buffer)

    def _receive_into(self, rest: memoryview, deadline: float) -> None:
        while rest:
            self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            got = self._socket.recv_into(rest)
            if not got:
                raise _GoneError
            rest = rest[got:]

    def kill(self) -> None:
        """End the process; whoever waits for its answer hears at once."""
        self._killed = True
        self._process.kill()

    def end(self) -> int:
        """Kill the process and return how it ended: its exit code, or minus a signal."""
        self._process.kill()
        self._socket.close()
        return self._process.wait()

    def forget(self) -> None:
        """In a forked child: leave the process to the parent."""
        self._socket.close()
        self._process.returncode = 0


class DecoderPool:
    """Processes that decode: as many as threads decode at once, used again and again.

    One starts at once, in the background. A forked child starts its own. Close it in the end.

    Raises:
        OptionError: this is no Linux, or a program frozen without ftsdk's PyInstaller hooks.
        InstallationError: no process can be started.

    Examples:
        >>> with closing(DecoderPool()) as pool:
        ...     decode("face.jpg", file_decoder=partial(pool.decode, watch=Stopwatch(timeout=3)))
    """

    def __init__(self) -> None:
        _check_platform()
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._closed = False
        self._end_all = weakref.finalize(self, _end_all, self._idle, self._busy)
        _POOLS.add(self)
        self._idle.append(_started())

    def decode(self, data: bytes, max_pixels: int, watch: Stopwatch) -> Decoded:
        """Return what `decode_file` does; the watch's time-out and cancellation end it at once.

        Raises:
            InputError: see `ftsdk.imaging.decode.decode`; ImageDamagedError also where the decoder
                crashed, ImageLimitError where it took more time or memory than is allowed.
            AnalysisCancelledError: the time-out passed, or the analysis was given up.
            InstallationError: no process can be started.
            EngineRunError: the pool was closed.
        """
        return self._ask(watch, lambda process, s: process.decode(data, max_pixels, s))

    def credentials(self, data: bytes, watch: Stopwatch) -> Credentials:
        """Return what `read_credentials` does; what ends the process makes them unreadable.

        Raises:
            AnalysisCancelledError, InstallationError, EngineRunError: as from `decode`.
        """
        try:
            return self._ask(watch, lambda process, s: process.credentials(data, s))
        except InputError as error:
            return unreadable(error.found)

    def _ask(self, watch: Stopwatch, ask: Callable[[_Process, float], T]) -> T:
        watch.check()
        process = self._take()
        try:
            with watch.cancellation.calling(process.kill):
                answer = ask(process, min(watch.left, WALL_SECONDS))
        except InputError:
            self._give_back(process)
            raise
        except TimeoutError as error:
            self._replace(process)
            watch.check()
            raise _too_long(f"none after {WALL_SECONDS} s") from error
        except _GoneError as error:
            raise self._failure(process, self._replace(process)) from error
        except BaseException:
            self._replace(process)
            raise
        self._give_back(process)
        return answer

    def close(self) -> None:
        """End every process, also those that decode."""
        with self._lock:
            self._closed = True
            for process in self._busy:
                process.kill()
            for process in self._idle:
                process.end()
            self._idle.clear()

    def forget(self) -> None:
        """In a forked child: leave the processes to the parent, whose lock may have been held."""
        self._lock = threading.Lock()
        for process in (*self._idle, *self._busy):
            process.forget()
        self._idle.clear()
        self._busy.clear()

    def _take(self) -> _Process:
        with self._lock:
            if self._closed:
                raise _was_closed()
            while self._idle:
                process = self._idle.pop()
                if process.usable:
                    break
                process.end()
            else:
                process = _started()
            self._busy.add(process)
            return process

    def _give_back(self, process: _Process) -> None:
        if not process.usable:
            self._replace(process)
            return
        with self._lock:
            self._busy.discard(process)
            if not self._closed:
                self._idle.append(process)
                return
        process.end()

    def _replace(self, process: _Process) -> int:
        """End a process, start another in the background, and return how the first one ended."""
        status = process.end()
        with self._lock:
            self._busy.discard(process)
            if not self._closed:
                with suppress(InstallationError):  # raised when one is needed
                    self._idle.append(_started())
        return status

    def _failure(self, process: _Process, status: int) -> Exception:
        if self._closed:
            return _was_closed()
        if not process.ready:
            return _not_started(f"exit code {status} at the start")
        if -status == signal.SIGXCPU:
            return _too_long(f"more than {CPU_SECONDS} s of computing")
        return ImageDamagedError(
            "The picture's decoder crashed.",
            expected="bytes that its decoder takes",
            found=_ending(status),
            cure="Get an intact copy, or open it in a picture editor and save it again.",
        )


_POOLS: weakref.WeakSet[DecoderPool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in _POOLS:
        pool.forget()


os.register_at_fork(after_in_child=_forget_all)


def _end_all(idle: list[_Process], busy: set[_Process]) -> None:
    for process in (*idle, *busy):
        process.end()


def _check_platform() -> None:
    startable = hasattr(sys, "ftsdk_decodes") if _frozen() else bool(sys.executable)
    if sys.platform == "linux" and startable:
        return
    raise OptionError(
        "Decoding cannot have a process of its own here.",
        expected="Linux, and a Python interpreter or a program frozen by PyInstaller to start",
        found="a program frozen without ftsdk's hooks" if _frozen() else sys.platform,
        cure="Leave out isolate_decoding.",
    )


def _frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


def _command(*numbers: str) -> list[str]:
    """Return what starts the decoder with the numbers of its `main`."""
    if _frozen():  # the same program again, which `_pyinstaller/rthooks` turns into a decoder
        return [sys.executable, "--ftsdk-decode", *numbers]
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return [sys.executable, "-Bc", _START, *numbers, *path]


def _started() -> _Process:
    try:
        return _Process()
    except OSError as error:
        raise _not_started(str(error)) from error


def _not_started(found: str) -> InstallationError:
    return InstallationError(
        "No process that decodes pictures can be started.",
        expected="a Python interpreter that imports ftsdk",
        found=found,
        cure="Run ft-doctor, look at the limits on processes and memory (ulimit -a).",
    )


def _too_long(found: str) -> ImageLimitError:
    return ImageLimitError(
        "Decoding the picture took too long.",
        expected=f"pixels within {CPU_SECONDS} s of computing",
        found=found,
        cure="Open it in a picture editor and save it as an ordinary file.",
    )


def _was_closed() -> EngineRunError:
    return EngineRunError(
        "The picture's decoder was closed.",
        expected="an open analyzer",
        found="one that was closed",
        cure="Open another one.",
    )


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit code {status}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-status).name}"
    return f"signal {-status}"
