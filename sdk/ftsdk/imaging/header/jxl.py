"""Size of a JPEG XL picture (ISO/IEC 18181-1, section 6.2), bare or in its boxes."""

from __future__ import annotations

import struct

from ftsdk.imaging.header.facts import Header, damaged, too_costly, truncated

CODESTREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_LENGTHS = (9, 13, 18, 30)
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_MAX_BOXES = 1000


def size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels.

    Raises:
        ImageTruncatedError: the file ends before they are known.
        ImageDamagedError: the boxes hold no codestream.
        ImageLimitError: too many boxes.
    """
    start = _codestream(data)
    bits = _Bits(data[start + 2 : start + 12])
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return _side(bits, small), height


def read(data: bytes) -> Header:
    """Return the size; whether all is there, the decoder tells.

    Raises:
        ImageTruncatedError, ImageDamagedError, ImageLimitError: see `size`.
    """
    return Header("JPEG XL", *size(data))


class _Bits:
    """Bits of a few bytes, the least significant first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise truncated("JPEG XL", "a size header", "the end of data")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return taken


def _side(bits: _Bits, small: int) -> int:
    return 8 * (1 + bits.take(5)) if small else 1 + bits.take(_LENGTHS[bits.take(2)])


def _codestream(data: bytes) -> int:
    """Return where the codestream starts."""
    if data[:2] == CODESTREAM:
        return 0
    at = len(CONTAINER)
    for _ in range(_MAX_BOXES):
        if at + 16 > len(data):
            raise truncated("JPEG XL", "a codestream", f"the end of data at byte {len(data)}")
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if kind in (b"jxlc", b"jxlp"):
            start: int = at + head + 4 * (kind == b"jxlp")
            if data[start : start + 2] == CODESTREAM:
                return start
            raise damaged("JPEG XL", "a codestream in its box", "another signature")
        if length < head:
            raise damaged("JPEG XL", "boxes of 8 bytes or more", f"one of {length} at byte {at}")
        at += length
    raise too_costly("JPEG XL", f"at most {_MAX_BOXES} boxes", "more")
