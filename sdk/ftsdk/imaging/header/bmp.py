"""Structure of a BMP file (Windows device-independent bitmaps)."""

from __future__ import annotations

import struct

from ftsdk.errors import ImageFormatError
from ftsdk.imaging.header.facts import Header, damaged, truncated

SIGNATURE = b"BM"
_CORE_HEADER, _INFO_HEADER = 12, 40
_UNCOMPRESSED = (0, 3, 6)
_RUN_LENGTHS = (1, 2)


def size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels.

    Raises:
        ImageTruncatedError: the file ends within its headers.
        ImageDamagedError: the headers are of no known length.
    """
    width, height, _, _ = _facts(data)
    return width, height


def read(data: bytes) -> Header:
    """Check that every row is there, where rows are not compressed.

    Raises:
        ImageFormatError: a compression that is not supported.
        ImageTruncatedError: rows are missing.
        ImageDamagedError: the headers contradict themselves.
    """
    width, height, bits, compression = _facts(data)
    if compression in _UNCOMPRESSED:
        start = int.from_bytes(data[10:14], "little")
        needed = start + height * (-(-width * bits // 32) * 4)
        if needed > len(data):
            raise truncated("BMP", f"{needed} bytes", f"{len(data)} bytes")
    elif compression not in _RUN_LENGTHS:
        raise ImageFormatError(
            "This kind of BMP is not supported.",
            expected="an uncompressed or run-length encoded BMP",
            found=f"compression {compression}",
            cure="Open it in a picture editor and save it as PNG.",
        )
    return Header("BMP", width, height)


def _facts(data: bytes) -> tuple[int, int, int, int]:
    """Return width, height, bits of a pixel, and compression."""
    if len(data) < 14 + _INFO_HEADER:
        raise truncated("BMP", f"{14 + _INFO_HEADER} bytes or more", f"{len(data)} bytes")
    length = int.from_bytes(data[14:18], "little")
    if length == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        return width, height, bits, 0
    if length < _INFO_HEADER:
        raise damaged("BMP", f"a header of {_CORE_HEADER}, {_INFO_HEADER} or more", f"{length}")
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if width < 0:
        raise damaged("BMP", "a width of 0 or more", f"{width}")
    return width, abs(height), bits, compression
