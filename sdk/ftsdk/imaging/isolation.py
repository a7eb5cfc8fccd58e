"""Decoding where it can be ended from outside: in processes of its own.

A hostile picture can keep a decoder busy for minutes, take all memory, or crash it. Here that costs
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
from contextlib import suppress
from dataclasses import astuple
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ftsdk import errors
from ftsdk.errors import (
    EngineRunError,
    ImageDamagedError,
    ImageLimitError,
    InputError,
    InstallationError,
    OptionError,
)
from ftsdk.imaging.codec import Decoded
from ftsdk.imaging.decoder_process import REQUEST
from ftsdk.imaging.header.facts import Format, Header
from ftsdk.imaging.picture import check_size
from ftsdk.stopwatch import Stopwatch

#: Seconds of computing that one picture may take, and of waiting for them on a busy machine.
CPU_SECONDS, WALL_SECONDS = 60, 120
_MAX_ANSWER = 1 << 16
# Pages of larger pictures go back to the system.
_KEPT_BYTES = 64 << 20
# The path is the parent's, and set before anything is imported from the working directory.
_START = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from ftsdk.imaging.decoder_process import main; main(*map(int, sys.argv[1:4]))"
)


class _GoneError(Exception):
    """The process ended, or answered what it never would by itself."""


class _Process:
    """One process, the socket to it, and the file in memory where it leaves pixels."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        path = [entry for entry in sys.path if isinstance(entry, str)]
        self._memory = os.memfd_create("ftsdk-pictures")
        with theirs:
            shared = theirs.fileno(), self._memory
            numbers = (str(number) for number in (*shared, CPU_SECONDS))
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *numbers, *path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=shared,
                env={**os.environ, "MALLOC_ARENA_MAX": "1"},  # arenas count as memory, unused too
            )
        self._killed = False
        self.ready = False

    @property
    def usable(self) -> bool:
        return not self._killed and self._process.poll() is None

    def decode(self, data: bytes, max_pixels: int, seconds: float) -> Decoded:
        """Raise the picture's own error, _GoneError, or TimeoutError after `seconds`."""
        deadline = time.monotonic() + seconds
        try:
            if not self.ready:
                self._receive(deadline)
                self.ready = True
            self._send(REQUEST.pack(len(data), max_pixels), deadline)
            self._send(data, deadline)
            return self._read_answer(self._receive(deadline), max_pixels)
        except (InputError, TimeoutError):
            raise
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise _GoneError from error  # a picture may have taken the process over

    def _send(self, message: bytes, deadline: float) -> None:
        view = memoryview(message)
        while view:
            self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            view = view[self._socket.send(view) :]

    def _receive(self, deadline: float) -> Any:
        message = b""
        while not message.endswith(b"\n"):
            self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            part = self._socket.recv(_MAX_ANSWER)
            message += part
            if not part or len(message) > _MAX_ANSWER:
                raise _GoneError
        return json.loads(message)

    def _read_answer(self, document: Any, max_pixels: int) -> Decoded:
        if "error" in document:
            raise _read_error(document)
        height, width, channels = map(int, document["shape"])
        check_size(width, height, max_pixels)
        header, damage = _read_header(document), document["damage"]
        if not isinstance(damage, str | None):
            raise TypeError(damage)
        return Decoded(self._read_pixels((height, width, channels)), header, damage)

    def _read_pixels(self, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        pixels = np.empty(shape, np.uint8)
        rest, got = pixels.data.cast("B"), 0
        while got < len(rest):
            count = os.preadv(self._memory, [rest[got:]], got)
            if not count:
                raise _GoneError
            got += count
        if got > _KEPT_BYTES:
            os.ftruncate(self._memory, 0)
        return pixels

    def kill(self) -> None:
        """End the process; whoever waits for its answer hears at once."""
        self._killed = True
        self._process.kill()

    def end(self) -> int:
        """Kill the process and return how it ended: its exit code, or minus a signal."""
        self._process.kill()
        self._close()
        return self._process.wait()

    def forget(self) -> None:
        """In a forked child: leave the process to the parent."""
        self._close()
        self._process.returncode = 0

    def _close(self) -> None:
        self._socket.close()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1


class DecoderPool:
    """Processes that decode: as many as threads decode at once, used again and again.

    One starts at once, in the background. A forked child starts its own. Close it in the end.

    Raises:
        OptionError: this is no Linux, or a frozen program, which has no interpreter to start.
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
        watch.check()
        process = self._take()
        try:
            with watch.cancellation.calling(process.kill):
                decoded = process.decode(data, max_pixels, min(watch.left, WALL_SECONDS))
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
        return decoded

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
    frozen = bool(getattr(sys, "frozen", False))
    if sys.platform == "linux" and sys.executable and not frozen:
        return
    raise OptionError(
        "Decoding cannot have a process of its own here.",
        expected="Linux, and a Python interpreter that can be started",
        found="a frozen program" if frozen else sys.platform,
        cure="Leave out isolate_decoding.",
    )


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


def _read_header(document: Any) -> Header:
    header = Header(**document["header"])
    kind, *numbers = astuple(header)
    if kind not in get_args(Format) or not all(type(number) in (int, bool) for number in numbers):
        raise TypeError(header)
    return header


def _read_error(document: Any) -> InputError:
    kind: type[InputError] = getattr(errors, document["error"])
    if not issubclass(kind, InputError):
        raise TypeError(kind)
    what, expected, found, cure = map(str, document["parts"])
    return kind(what, expected=expected, found=found, cure=cure)
