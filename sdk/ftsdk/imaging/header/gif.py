"""Structure of a GIF file (GIF89a)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ftsdk.imaging.header.facts import Header, damaged, too_costly, truncated

SIGNATURES = (b"GIF87a", b"GIF89a")
_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9
# Encoders fill blocks of 255 bytes; the last of a picture or a text is shorter.
_MAX_BLOCKS, _BYTES_PER_BLOCK = 10_000, 64


class _Part(NamedTuple):
    kind: int
    start: int
    end: int


def size(data: bytes) -> tuple[int, int]:
    """Return width and height of the canvas in pixels.

    Raises:
        ImageTruncatedError: the file ends before they are known.
    """
    if len(data) < 13:
        raise truncated("GIF", "13 bytes or more", f"{len(data)} bytes")
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def read(data: bytes) -> Header:
    """Walk all blocks to the trailer.

    Raises:
        ImageTruncatedError: the file ends before its trailer.
        ImageDamagedError: no picture, or one that leaves the canvas.
        ImageLimitError: too many blocks.
    """
    width, height = size(data)
    frames, transparent = 0, False
    for kind, start, _ in _parts(data):
        if kind == _PICTURE:
            frames += 1
            left, top, across, down = struct.unpack_from("<HHHH", data, start + 1)
            if left + across > width or top + down > height:
                raise damaged("GIF", f"frames within {width}x{height}", f"frame {frames} beyond it")
        elif kind == _EXTENSION and not frames and data[start + 1] == _GRAPHIC_CONTROL:
            transparent |= bool(data[start + 3] & 1)
    if not frames:
        raise damaged("GIF", "a picture", "none")
    return Header("GIF", width, height, frames=frames, alpha=transparent)


def first(data: bytes) -> bytes:
    """Return the file with its first picture alone."""
    parts = list(_parts(data))
    picture = next(part for part in parts if part.kind == _PICTURE)
    controls = [
        part
        for part in parts
        if part.end <= picture.start and data[part.start + 1] == _GRAPHIC_CONTROL
    ]
    kept = (data[part.start : part.end] for part in (*controls[-1:], picture))
    return b"".join([data[: parts[0].start], *kept, bytes([_TRAILER])])


def _parts(data: bytes) -> Iterator[_Part]:
    """Yield extensions and pictures with their blocks."""
    at = 13 + _table(data[10])
    most = _MAX_BLOCKS + len(data) // _BYTES_PER_BLOCK
    blocks = 0
    while at < len(data):
        kind, start = data[at], at
        if kind == _TRAILER:
            return
        if kind == _PICTURE and at + 11 <= len(data):
            at += 11 + _table(data[at + 9])
        elif kind == _EXTENSION:
            at += 2
        else:
            raise damaged("GIF", "an extension, a picture or the trailer", f"{kind:#04x}")
        while at < len(data) and data[at]:
            at += 1 + data[at]
            blocks += 1
        at += 1
        blocks += 1
        if blocks > most:
            raise too_costly("GIF", f"at most {most} blocks", "more")
        if at <= len(data):
            yield _Part(kind, start, at)
    raise truncated("GIF", "a trailer (3B)", f"the end of data at byte {len(data)}")


def _table(packed: int) -> int:
    """Return how many bytes a colour table takes."""
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0
