"""The process that decodes strangers' files: it may crash, hang or swell, and is then replaced.

A request is three numbers, what is wanted, the file's length and the pixel limit, and the file's
bytes. The answer is the length of a JSON document, the document, and pixels where those were
wanted: in sealed memory, whose descriptor comes with the length, or behind the document where no
file may be as large as they are. The first document says that the process is ready. Nothing that it
sends is trusted: a picture may have taken it over.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, astuple
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import FtsdkError
from ftsdk.imaging.codec import decode_file
from ftsdk.imaging.header import format_of, read_size
from ftsdk.imaging.sealed import sealed
from ftsdk.report.credentials import read_credentials

PIXELS, CREDENTIALS = range(2)
REQUEST = struct.Struct("<BQQ")
LENGTH = struct.Struct("<I")
# Beside the interpreter: bytes for a decoder's tables, a thread, a byte of the file, and a pixel,
# which takes 3 bytes of answer twice, 6 of coefficients, and up to 16 of rows that are not
# compressed. libjxl holds several planes of float32.
_ROOM, _PER_THREAD, _PER_BYTE, _PER_PIXEL, _PER_JXL_PIXEL = 256 << 20, 16 << 20, 4, 32, 80
_CHANNELS = 3


def main(descriptor: int, cpu_seconds: int) -> None:
    """Answer requests on a socket until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this ends
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cv2.setNumThreads(1)
    base = _address_space()
    connection = socket.socket(fileno=descriptor)
    _send(connection, {})
    while head := _receive(connection, REQUEST.size):
        kind, length, max_pixels = REQUEST.unpack(head)
        data = bytes(_receive(connection, length))
        if kind == CREDENTIALS:
            base += _library_of_credentials()
        _limit(base, data, max_pixels, cpu_seconds)
        if kind == CREDENTIALS:
            _send(connection, {"credentials": astuple(read_credentials(data))})
        else:
            _send(connection, *_answer(data, max_pixels))


def _send(
    connection: socket.socket, document: dict[str, Any], pixels: NDArray[np.uint8] | None = None
) -> None:
    message = json.dumps(document).encode()
    memory = [] if pixels is None else _sealed(pixels)
    socket.send_fds(connection, [LENGTH.pack(len(message))], memory)
    connection.sendall(message)
    for descriptor in memory:
        os.close(descriptor)
    if pixels is not None and not memory:
        connection.sendall(pixels.data)


def _sealed(pixels: NDArray[np.uint8]) -> list[int]:
    """Return the descriptor of memory that holds the pixels, or none (`ulimit -f`)."""
    with suppress(OSError):
        return [sealed(pixels)]
    return []


def _receive(connection: socket.socket, length: int) -> bytearray:
    """Return `length` bytes, or fewer where the other side is gone."""
    buffer = bytearray(length)
    view, got = memoryview(buffer), 0
    while got < length:
        count = connection.recv_into(view[got:])
        if not count:
            return bytearray()
        got += count
    return buffer


def _limit(base: int, data: bytes, max_pixels: int, cpu_seconds: int) -> None:
    """Allow what this file's size and its number of pixels explain, and no more."""
    threads = base + _ROOM + _PER_THREAD * (os.cpu_count() or 1)
    pixels, a_pixel = _pixels(data, max_pixels)
    memory = threads + _PER_BYTE * len(data) + a_pixel * pixels
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
    _lower(resource.RLIMIT_AS, memory)
    _lower(resource.RLIMIT_CPU, seconds)
    _lower(resource.RLIMIT_FSIZE, _CHANNELS * pixels)


def _lower(limit: int, wanted: int) -> None:
    """Set a limit, or leave it where whoever started the parent allows less."""
    _, most = resource.getrlimit(limit)
    bounded = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(limit, (bounded, most))


def _library_of_credentials() -> int:
    """Import it without a limit, and return by how much that grew the address space."""
    if "c2pa" in sys.modules or find_spec("c2pa") is None:
        return 0
    before = _address_space()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with suppress(Exception):  # raised again, and told, when it is used
        import_module("c2pa")
    return _address_space() - before


def _pixels(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Return how many pixels a file has, as far as they are taken, and what each may take."""
    try:
        width, height = read_size(data)
    except Exception:  # raised again, and told, when it is decoded
        return 0, 0
    a_pixel = _PER_JXL_PIXEL if format_of(data) == "JPEG XL" else _PER_PIXEL
    return min(width * height, max_pixels), a_pixel


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * mmap.PAGESIZE


def _answer(data: bytes, max_pixels: int) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    try:
        decoded = decode_file(data, max_pixels)
    except FtsdkError as error:
        parts = error.what, error.expected, error.found, error.cure
        return {"error": type(error).__name__, "parts": [part[:2000] for part in parts]}, None
    pixels = np.ascontiguousarray(decoded.pixels)
    facts = {"damage": decoded.damage, "quality": decoded.quality}
    return {"shape": pixels.shape, "header": asdict(decoded.header), **facts}, pixels
