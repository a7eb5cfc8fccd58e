"""Picture files for tests, made on the spot: every format, mode and orientation."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 90}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "restarts": ("JPEG", {"quality": 90, "restart_marker_rows": 1}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 80}),
    "lossless webp": ("WEBP", {"lossless": True}),
}


def scene(height: int = 96, width: int = 128, channels: int = 3) -> NDArray[np.uint8]:
    """Return smooth colours with some noise, [H, W, C] uint8 RGB; no two corners are alike."""
    random = np.random.default_rng(7)
    coarse = random.integers(20, 236, (5, 6, channels), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = random.integers(-6, 7, smooth.shape)
    return np.clip(smooth.astype(int) + noise, 0, 255).astype(np.uint8)


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return `image` as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def encoded(way: str) -> bytes:
    """Return the scene saved in one of `WAYS`."""
    kind, options = WAYS[way]
    return save(Image.fromarray(scene()), kind, **options)


def oriented(kind: str, orientation: int) -> bytes:
    """Return the scene with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    return save(Image.fromarray(scene()), kind, exif=exif, **options)


def animated(kind: str, **options: Any) -> bytes:
    """Return an animation of three different frames, the scene first."""
    frames = [Image.fromarray(np.roll(scene(), 20 * i, axis=1)) for i in range(3)]
    if kind == "WEBP":
        options["lossless"] = True
    return save(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return one PNG chunk with its length and CRC."""
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def png_of(width: int, height: int, rows: bytes = b"") -> bytes:
    """Return a complete RGB PNG that announces a size and holds `rows`, fitting or not."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def interlaced_png_of(pixels: NDArray[np.uint8]) -> bytes:
    """Return RGB `pixels` as a PNG in the seven passes of Adam7."""
    steps = {(0, 0): (8, 8), (0, 4): (8, 8), (4, 0): (8, 4), (0, 2): (4, 4), (2, 0): (4, 2)}
    steps |= {(0, 1): (2, 2), (1, 0): (2, 1)}
    rows = b"".join(
        b"\0" + row.tobytes()
        for (top, left), (down, across) in steps.items()
        for row in pixels[top::down, left::across]
        if row.size
    )
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg_of(width: int, height: int) -> bytes:
    """Return the scene's JPEG with another size written into its frame header."""
    data = bytearray(encoded("jpeg"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_of(width: int, height: int) -> bytes:
    """Return an extended WebP whose canvas has that size, with no picture in it."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body
