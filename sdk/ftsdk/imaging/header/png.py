"""Structure of a PNG file (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ftsdk.imaging.header.exif import orientation
from ftsdk.imaging.header.facts import Header, damaged, truncated

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_ALPHA_COLOURS = {4, 6}


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int
    body: memoryview


def size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, from the first chunk.

    Raises:
        ImageTruncatedError: the file ends within it.
        ImageDamagedError: the first chunk is another one.
    """
    if len(data) < 24:
        raise truncated("PNG", "24 bytes or more", f"{len(data)} bytes")
    if data[12:16] != b"IHDR":
        raise damaged("PNG", "IHDR as the first chunk", repr(data[12:16]))
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def read(data: bytes) -> Header:
    """Walk all chunks to IEND and checks their sums.

    Raises:
        ImageTruncatedError: the file ends before IEND.
        ImageDamagedError: a chunk's CRC differs, or IHDR is malformed.
    """
    width, height = size(data)
    turn, frames, profile, transparent, bits, colour = 1, 1, False, False, 0, 0
    for chunk in _chunks(data):
        if chunk.kind == b"IHDR":
            if len(chunk.body) != 13:
                raise damaged("PNG", "13 bytes of IHDR", f"{len(chunk.body)} bytes")
            bits, colour = chunk.body[8], chunk.body[9]
        elif chunk.kind == b"eXIf":
            turn = orientation(bytes(chunk.body))
        elif chunk.kind == b"acTL" and len(chunk.body) >= 4:
            frames = max(1, int.from_bytes(chunk.body[:4], "big"))
        profile |= chunk.kind == b"iCCP"
        transparent |= chunk.kind == b"tRNS"
    return Header(
        "PNG",
        width,
        height,
        orientation=turn,
        frames=frames,
        bits=bits,
        alpha=transparent or colour in _ALPHA_COLOURS,
        profile=profile,
    )


def still(data: bytes) -> bytes:
    """Return the file without its animation: what a viewer that knows none would show."""
    parts = [data[c.start : c.end] for c in _chunks(data) if c.kind not in _ANIMATION]
    return b"".join([SIGNATURE, *parts])


def _chunks(data: bytes) -> Iterator[_Chunk]:
    view = memoryview(data)
    at = len(SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise truncated("PNG", "a closing IEND chunk", f"the end of data at byte {len(data)}")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise truncated("PNG", f"{end} bytes or more", f"{len(data)} bytes")
        (stored,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[at + 4 : end - 4]) != stored:
            raise damaged("PNG", f"CRC {stored:08x} of chunk {kind!r}", "another one")
        yield _Chunk(kind, at, end, view[at + 8 : end - 4])
        if kind == b"IEND":
            return
        at = end
