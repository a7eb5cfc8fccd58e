"""Reads picture headers: size, orientation and completeness, before any decoding."""

from __future__ import annotations

from collections.abc import Callable

from ftsdk.errors import ImageFormatError
from ftsdk.imaging.header import jpeg, png, webp
from ftsdk.imaging.header.facts import Format, Header

__all__ = ["Header", "format_of", "read_header", "read_size"]

_SIZES: dict[Format, Callable[[bytes], tuple[int, int]]] = {
    "JPEG": jpeg.size,
    "PNG": png.size,
    "WebP": webp.size,
}
_HEADERS: dict[Format, Callable[[bytes], Header]] = {
    "JPEG": jpeg.read,
    "PNG": png.read,
    "WebP": webp.read,
}
_SUPPORTED = "JPEG, PNG or WebP"
_REFUSED = (
    (b"GIF8", "a GIF"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"BM", "a BMP"),
    (b"%PDF", "a PDF"),
    (b"\0\0\1\0", "an icon"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"<", "text in angle brackets, such as SVG or HTML"),
)


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, before orientation, from the first bytes alone.

    Raises:
        ImageFormatError: no JPEG, PNG or WebP.
        ImageTruncatedError: the data ends before its size is known.
        ImageDamagedError: the first bytes contradict the format.
    """
    return _SIZES[format_of(data)](data)


def read_header(data: bytes) -> Header:
    """Read the whole structure of a picture file, and that it is all there.

    Bytes after the end of the picture are legal, as cameras and editors add them.

    Raises:
        ImageFormatError: no JPEG, PNG or WebP.
        ImageTruncatedError: the file ends before its structure does.
        ImageDamagedError: the structure contradicts itself.
        ImageLimitError: the structure has too many parts.
    """
    return _HEADERS[format_of(data)](data)


def format_of(data: bytes) -> Format:
    """Tell a file's format by its first bytes, or raise ImageFormatError."""
    if data[:2] == b"\xff\xd8":
        return "JPEG"
    if data[:8] == png.SIGNATURE:
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    raise ImageFormatError(
        "This is not a picture of a supported format.",
        expected=_SUPPORTED,
        found=_describe(data),
        cure="Save the picture as JPEG, PNG or WebP.",
    )


def _describe(data: bytes) -> str:
    if not data:
        return "no bytes at all"
    if data[4:8] == b"ftyp":
        return f"an ISO media file ({data[8:12].decode('ascii', 'replace').strip()!r}), e.g. HEIC"
    for prefix, name in _REFUSED:
        if data.startswith(prefix):
            return name
    return f"bytes that begin with {data[:8].hex(' ')}"
