"""Reads picture headers: size, orientation and completeness, before any decoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from ftsdk.errors import ImageFormatError
from ftsdk.imaging.header import bmp, gif, isobmff, jpeg, jxl, png, tiff, webp
from ftsdk.imaging.header.facts import Format, Header

__all__ = ["Header", "format_of", "read_header", "read_size"]

_SIZES: dict[Format, Callable[[bytes], tuple[int, int]]] = {
    "JPEG": jpeg.size,
    "PNG": png.size,
    "WebP": webp.size,
    "TIFF": tiff.size,
    "BMP": bmp.size,
    "GIF": gif.size,
    "HEIC": isobmff.size,
    "AVIF": isobmff.size,
    "JPEG XL": jxl.size,
}
_HEADERS: dict[Format, Callable[[bytes], Header]] = {
    "JPEG": jpeg.read,
    "PNG": png.read,
    "WebP": webp.read,
    "TIFF": tiff.read,
    "BMP": bmp.read,
    "GIF": gif.read,
    "HEIC": isobmff.read,
    "AVIF": isobmff.read,
    "JPEG XL": jxl.read,
}
_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8", "JPEG"),
    (png.SIGNATURE, "PNG"),
    *((signature, "TIFF") for signature in tiff.SIGNATURES),
    *((signature, "GIF") for signature in gif.SIGNATURES),
    (bmp.SIGNATURE, "BMP"),
    (jxl.CODESTREAM, "JPEG XL"),
    (jxl.CONTAINER, "JPEG XL"),
)
_SUPPORTED = ", ".join(get_args(Format)[:-1]) + f" or {get_args(Format)[-1]}"
_REFUSED = (
    (b"%PDF", "a PDF"),
    (b"\0\0\1\0", "an icon"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"<", "text in angle brackets, such as SVG or HTML"),
)


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, before orientation, from the first bytes alone.

    Raises:
        ImageFormatError: no picture of a supported format.
        ImageTruncatedError: the data ends before its size is known.
        ImageDamagedError: the first bytes contradict the format.
    """
    return _SIZES[format_of(data)](data)


def read_header(data: bytes) -> Header:
    """Read the whole structure of a picture file, and that it is all there.

    Bytes after the end of the picture are legal, as cameras and editors add them.

    Raises:
        ImageFormatError: no picture of a supported format.
        ImageTruncatedError: the file ends before its structure does.
        ImageDamagedError: the structure contradicts itself.
        ImageLimitError: the structure has too many parts.
    """
    return _HEADERS[format_of(data)](data)


def format_of(data: bytes) -> Format:
    """Tell a file's format by its first bytes (4096 suffice), or raise ImageFormatError."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if heic_or_avif := isobmff.kind(data):
        return heic_or_avif
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
        brand = data[8:12].decode("ascii", "replace").strip()
        return f"an ISO media file ({brand!r}), such as a video"
    for prefix, name in _REFUSED:
        if data.startswith(prefix):
            return name
    return f"bytes that begin with {data[:8].hex(' ')}"
