"""Whether a file is meant to be a picture, by its first bytes and its name, in any format."""

from __future__ import annotations

from pathlib import PurePath

#: First bytes of pictures, of formats that are read here and of others.
_STARTS = (
    b"\xff\xd8", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
    b"\0\0\1\0", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
    b"8BPS", b"FUJIFILMCCD-RAW", b"IIRO", b"IIU\0", b"qoif", b"\x76\x2f\x31\x01",
)  # fmt: skip
#: Brands of ISO media files that are pictures; the others are videos and sound.
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1",
           b"avif", b"avis", b"jpeg", b"crx "}  # fmt: skip
_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp",
    ".dib", ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".jpf", ".jpx", ".ico",
    ".psd", ".exr", ".qoi", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2",
}  # fmt: skip
NEEDED_BYTES = 16
"""How much of a file's beginning is enough."""


def is_picture(name: str, start: bytes) -> bool:
    """Tell whether a file is a picture by its first bytes, or is called one."""
    return (
        start.startswith(_STARTS)
        or (start[:2] == b"BM" and start[6:10] == bytes(4))
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
        or PurePath(name).suffix.lower() in _SUFFIXES
    )
