"""What Pillow decodes: pictures that are Pillow's already, and HEIC, AVIF and JPEG XL files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import ImageDamagedError, ImageFormatError
from ftsdk.imaging.header.facts import Format, Header

_ORIENTATION = 0x0112
_16_BIT = {"I;16", "I;16L", "I;16B", "I;16N"}
_UNBOUNDED = {"I", "F"}
_LIBJXL_SRGB = ["sRGB".encode("utf-16-be"), "_SRG".encode("utf-16-be")]


def pixels_of(image: Any) -> NDArray[np.uint8]:
    """Return `[H, W, 3] uint8` BGR of a Pillow picture; 16 bits keep their upper 8.

    Raises:
        ImageFormatError: its mode has no fixed range.
    """
    mode = str(image.mode)
    if mode in _UNBOUNDED:
        raise ImageFormatError(
            "A Pillow picture of this mode has no fixed range.",
            expected="a mode of 8 or 16 bits, such as RGB, L or I;16",
            found=f"mode {mode}",
            cure="Scale the values to 0..255 and convert it to mode 'RGB' or 'L'.",
        )
    if mode in _16_BIT:
        grey = (np.asarray(image, np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))[:, :, ::-1]


def orientation_of(image: Any) -> int:
    """Return the EXIF orientation, 1 to 8, of a Pillow picture."""
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def is_16_bit(image: Any) -> bool:
    """Whether `pixels_of` cuts the picture's values."""
    return str(image.mode) in _16_BIT


def is_translucent(image: Any) -> bool:
    """Whether `pixels_of` drops transparency."""
    return "A" in str(image.mode) or "a" in str(image.mode)


def decode_with_plugin(data: bytes, header: Header) -> tuple[NDArray[np.uint8], Header]:
    """Return `[H, W, 3] uint8` BGR of a checked file, and its header with what is known now.

    Raises:
        ImageFormatError: the package for this format is not installed (`ftsdk[formats]`).
        ImageDamagedError: there are more pixels than the header said.
    """
    try:
        image = _OPENERS[header.format](data)
    except ImportError as error:
        cure = "pip install 'ftsdk[formats]'"
        raise ImageFormatError(
            f"A package is needed to decode {header.format}.",
            expected=cure,
            found=str(error),
            cure=f"{cure}, or save the picture as JPEG or PNG.",
        ) from error
    width, height = image.size
    if width * height > header.width * header.height:
        raise ImageDamagedError(
            f"The {header.format} picture does not decode.",
            expected=f"at most {header.width}x{header.height} pixels, as its header says",
            found=f"{width}x{height}",
            cure="Get an intact copy, or open it in a picture editor and save it again.",
        )
    known = replace(
        header,
        # The other decoders turn the picture themselves, and leave what EXIF said.
        orientation=orientation_of(image) if header.format == "AVIF" else 1,
        frames=max(1, getattr(image, "n_frames", 1)),
        bits=16 if is_16_bit(image) else 8,
        alpha=is_translucent(image),
        profile=_has_profile(image),
    )
    return pixels_of(image), known


def _has_profile(image: Any) -> bool:
    profile = image.info.get("icc_profile") or b""
    # libjxl describes plain sRGB by a profile of its own making.
    return bool(profile) and not any(name in profile for name in _LIBJXL_SRGB)


def _heic(data: bytes) -> Any:
    from pi_heif import open_heif

    return open_heif(data).to_pillow()


def _avif(data: bytes) -> Any:
    from PIL.AvifImagePlugin import AvifImageFile

    return AvifImageFile(io.BytesIO(data))


def _jpeg_xl(data: bytes) -> Any:
    from pillow_jxl.JpegXLImagePlugin import JXLImageFile

    return JXLImageFile(io.BytesIO(data))


_OPENERS: dict[Format, Callable[[bytes], Any]] = {
    "HEIC": _heic,
    "AVIF": _avif,
    "JPEG XL": _jpeg_xl,
}
PLUGIN_FORMATS = frozenset(_OPENERS)
