"""The process that decodes strangers' files: it may crash, hang or swell, and is then replaced.

A request is two numbers, the file's length and the pixel limit, and the file's bytes. The answer is
a line of JSON; pixels are then in a file in memory that both sides hold. The first
line says that the process is ready. Nothing that it sends is trusted: a picture may have taken it
over.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import socket
import struct
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from ftsdk.errors import FtsdkError
from ftsdk.imaging.codec import decode_file
from ftsdk.imaging.header import format_of, read_size

READY = b"{}\n"
REQUEST = struct.Struct("<QQ")
# Beside the interpreter: bytes for a decoder's tables, a thread, a byte of the file, and a pixel,
# which takes 3 bytes of answer twice, 6 of coefficients, and up to 16 of rows that are not
# compressed. libjxl holds several planes of float32.
_ROOM, _PER_THREAD, _PER_BYTE, _PER_PIXEL, _PER_JXL_PIXEL = 256 << 20, 16 << 20, 4, 32, 80


def main(descriptor: int, memory: int, cpu_seconds: int) -> None:
    """Answer requests on a socket until it is closed; pixels go to the file `memory`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this ends
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cv2.setNumThreads(1)
    base = _address_space()
    connection = socket.socket(fileno=descriptor)
    connection.sendall(READY)
    while head := _receive(connection, REQUEST.size):
        length, max_pixels = REQUEST.unpack(head)
        data = bytes(_receive(connection, length))
        _limit(base, data, max_pixels, cpu_seconds)
        connection.sendall(json.dumps(_answer(data, max_pixels, memory)).encode() + b"\n")


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
    memory = threads + _PER_BYTE * len(data) + _pixel_memory(data, max_pixels)
    resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * max_pixels, resource.RLIM_INFINITY))
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _pixel_memory(data: bytes, max_pixels: int) -> int:
    try:
        width, height = read_size(data)
    except Exception:  # raised again, and told, when it is decoded
        return 0
    a_pixel = _PER_JXL_PIXEL if format_of(data) == "JPEG XL" else _PER_PIXEL
    return min(width * height, max_pixels) * a_pixel


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * mmap.PAGESIZE


def _answer(data: bytes, max_pixels: int, memory: int) -> dict[str, Any]:
    try:
        decoded = decode_file(data, max_pixels)
    except FtsdkError as error:
        parts = error.what, error.expected, error.found, error.cure
        return {"error": type(error).__name__, "parts": [part[:2000] for part in parts]}
    pixels = np.ascontiguousarray(decoded.pixels).data.cast("B")
    written = 0
    while written < len(pixels):
        written += os.pwrite(memory, pixels[written:], written)
    header = asdict(decoded.header)
    return {"shape": decoded.pixels.shape, "header": header, "damage": decoded.damage}
