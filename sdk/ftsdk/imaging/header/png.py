"""Structure of a PNG file (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ftsdk.imaging.header.exif import orientation
from ftsdk.imaging.header.facts import Header, damaged, too_costly, truncated

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BEFORE_ROWS = {b"IHDR", b"PLTE", b"tRNS"}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ALPHA_COLOURS = {4, 6}
# First column and row of each pass of an interlaced picture, and its steps.
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)
# How much larger inflated data can be, and how much of it a decoder may be handed unseen.
_MAX_RATIO, _MAX_INFLATED = 1032, 1 << 30
# Of compressed bytes that are inflated at once, and of a stored block (RFC 1951).
_STEP, _MAX_BLOCK = 1 << 16, 65_535
# Encoders write chunks of some kilobytes; beside the pixels there are some dozen.
_MAX_CHUNKS, _BYTES_PER_CHUNK = 1000, 1024


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
        ImageDamagedError: a chunk's CRC differs, IHDR is malformed, or IDAT is in several places.
        ImageLimitError: too many chunks.
    """
    width, height = size(data)
    turn, frames, profile, transparent = 1, 1, False, False
    previous, rows = b"", 0
    for kind, _, _, body in _chunks(data):
        rows += kind == b"IDAT" and kind != previous
        previous = kind
        if kind == b"IHDR" and len(body) != 13:
            raise damaged("PNG", "13 bytes of IHDR", f"{len(body)} bytes")
        if kind == b"eXIf":
            turn = orientation(bytes(body))
        elif kind == b"acTL" and len(body) >= 4:
            frames = max(1, int.from_bytes(body[:4], "big"))
        profile |= kind == b"iCCP"
        transparent |= kind == b"tRNS"
    if rows != 1:
        raise damaged("PNG", "IDAT chunks in one row", f"{rows} rows of them")
    return Header(
        "PNG",
        width,
        height,
        orientation=turn,
        frames=frames,
        bits=data[24],
        alpha=transparent or data[25] in _ALPHA_COLOURS,
        profile=profile,
    )


def plain(data: bytes) -> bytes:
    """Return a checked file with its still picture alone, all of its rows in one chunk.

    A decoder that sees neither texts, profiles nor frames inflates none of them. Rows that may
    inflate to very much are inflated here, as far as the picture goes, and stored.

    Raises:
        ImageDamagedError: such rows do not inflate, or are too few.
    """
    chunks = list(_chunks(data, checked=True))
    rows = b"".join(chunk.body for chunk in chunks if chunk.kind == b"IDAT")
    small = len(rows) * _MAX_RATIO <= _MAX_INFLATED
    idat = _chunk(b"IDAT", *((rows,) if small else _stored(rows, _rows_bytes(data))))
    kept = [data[chunk.start : chunk.end] for chunk in chunks if chunk.kind in _BEFORE_ROWS]
    return b"".join([SIGNATURE, *kept, *idat, *_chunk(b"IEND")])


def _chunk(kind: bytes, *parts: bytes | memoryview) -> list[bytes | memoryview]:
    crc = zlib.crc32(kind)
    for part in parts:
        crc = zlib.crc32(part, crc)
    length = struct.pack(">I", sum(map(len, parts)))
    return [length, kind, *parts, struct.pack(">I", crc)]


def _stored(rows: bytes, size: int) -> list[bytes | memoryview]:
    """Return a zlib stream, in parts, of the first `size` bytes of the inflated `rows`."""
    stream, adler, missing = list[bytes | memoryview]([b"\x78\x01"]), 1, size
    for part in _inflated(rows, size):
        missing -= len(part)
        adler = zlib.adler32(part, adler)
        for at in range(0, len(part), _MAX_BLOCK):
            block = memoryview(part)[at : at + _MAX_BLOCK]
            stream += [struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF), block]
    if missing:
        raise damaged("PNG", f"{size} bytes of rows", f"{size - missing} bytes")
    return [*stream, b"\1\0\0\xff\xff", struct.pack(">I", adler)]


def _inflated(rows: bytes, size: int) -> Iterator[bytes]:
    """Yield up to `size` bytes in parts."""
    inflate = zlib.decompressobj()
    for at in range(0, len(rows), _STEP):
        rest = rows[at : at + _STEP]
        while rest and size:
            try:
                part = inflate.decompress(rest, size)
            except zlib.error as error:
                raise damaged("PNG", "rows that inflate", str(error)) from error
            rest, size = inflate.unconsumed_tail, size - len(part)
            yield part


def _rows_bytes(data: bytes) -> int:
    """Return how many bytes the inflated rows take, with the filter byte of each."""
    width, height, bits, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    bits *= _CHANNELS.get(colour, 0)
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, lines = -(-(width - left) // across), -(-(height - top) // down)
        total += lines * (1 + -(-columns * bits // 8)) if columns > 0 else 0
    return total


def _chunks(data: bytes, checked: bool = False) -> Iterator[_Chunk]:
    view, at = memoryview(data), len(SIGNATURE)
    most = _MAX_CHUNKS + len(data) // _BYTES_PER_CHUNK
    for _ in range(most):
        if at + 12 > len(data):
            raise truncated("PNG", "a closing IEND chunk", f"the end of data at byte {len(data)}")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise truncated("PNG", f"{end} bytes or more", f"{len(data)} bytes")
        (stored,) = struct.unpack_from(">I", data, end - 4)
        if not checked and zlib.crc32(view[at + 4 : end - 4]) != stored:
            raise damaged("PNG", f"CRC {stored:08x} of chunk {kind!r}", "another one")
        yield _Chunk(kind, at, end, view[at + 8 : end - 4])
        if kind == b"IEND":
            return
        at = end
    raise too_costly("PNG", f"at most {most} chunks", "more")
