"""Structure of a WebP file (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ftsdk.imaging.header.exif import orientation
from ftsdk.imaging.header.facts import Header, damaged, too_costly, truncated

_ALPHA_FLAG, _PROFILE_FLAG = 0x10, 0x20
# Every frame of an animation is one.
_MAX_CHUNKS = 10_000
_PICTURES = (b"VP8 ", b"VP8L", b"VP8X")


class _Chunk(NamedTuple):
    kind: bytes
    body: memoryview


def size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels: the canvas, or the picture itself in simple files.

    Raises:
        ImageTruncatedError: the file ends before they are known.
        ImageDamagedError: the first chunk is no picture.
    """
    if len(data) < 30:
        raise truncated("WebP", "30 bytes or more", f"{len(data)} bytes")
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    return _picture_size(kind, memoryview(data)[20:30])


def read(data: bytes) -> Header:
    """Walk all chunks to the length that the file announces.

    Raises:
        ImageTruncatedError: the file is shorter than announced.
        ImageDamagedError: a picture of another size than its canvas, or none at all.
        ImageLimitError: too many chunks.
    """
    canvas = size(data)
    turn, frames, flags, pictures = 1, 0, 0, 0
    for kind, body in _chunks(data):
        if kind == b"VP8X":
            flags = body[0] if len(body) else 0
        elif kind in _PICTURES:
            pictures += 1
            _check_canvas(_picture_size(kind, body), canvas)
            flags |= _ALPHA_FLAG * (kind == b"VP8L" and bool(body[4] & 0x10))
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            turn = orientation(bytes(body))
    if not pictures and not frames:
        raise damaged("WebP", "a picture or an animation frame", "neither")
    return Header(
        "WebP",
        *canvas,
        orientation=turn,
        frames=max(1, frames),
        alpha=bool(flags & _ALPHA_FLAG),
        profile=bool(flags & _PROFILE_FLAG),
    )


def _picture_size(kind: bytes, body: memoryview) -> tuple[int, int]:
    if kind == b"VP8 " and len(body) >= 10 and bytes(body[3:6]) == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        packed = int.from_bytes(body[1:5], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    raise damaged("WebP", "a VP8, VP8L or VP8X chunk with its start code", f"chunk {kind!r}")


def _check_canvas(picture: tuple[int, int], canvas: tuple[int, int]) -> None:
    if picture != canvas:
        found = f"a picture of {picture[0]}x{picture[1]}"
        raise damaged("WebP", f"one of the canvas's {canvas[0]}x{canvas[1]} pixels", found)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncated("WebP", f"{end} bytes", f"{len(data)} bytes")
    view = memoryview(data)
    at, chunks = 12, 0
    while at + 8 <= end:
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise too_costly("WebP", f"at most {_MAX_CHUNKS} chunks", "more")
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            raise truncated("WebP", f"{at + 8 + length} bytes or more", f"{end} bytes")
        yield _Chunk(data[at : at + 4], view[at + 8 : at + 8 + length])
        at += 8 + length + (length & 1)
