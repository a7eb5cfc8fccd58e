"""From a picture file's bytes to upright pixels; what hostile bytes set off stays in here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import FtsdkError, ImageDamagedError, ImageLimitError
from ftsdk.imaging.damage import jpeg_damage
from ftsdk.imaging.header import Header, gif, jpeg, png, read_header, read_size, tiff
from ftsdk.imaging.header.facts import Format, truncated
from ftsdk.imaging.jpeg_quality import jpeg_quality
from ftsdk.imaging.picture import check_size
from ftsdk.imaging.pillow import PLUGIN_FORMATS, decode_with_plugin

_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
# What a decoder gets to see of a checked file.
_PLAIN: dict[Format, Callable[[bytes], bytes]] = {
    "PNG": png.plain,
    "GIF": gif.first,
    "TIFF": tiff.unturned,
}
# What JPEG decoders draw where data is missing: zero coefficients, as YCbCr and as CMYK.
_MISSING_GREYS = (128, 65)


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a picture file holds.

    Attributes:
        pixels: `[H, W, 3] uint8` in BGR order, upright.
        header: what its header told.
        damage: what is wrong with its compressed data, a note of one sentence; None where nothing
            was noticed. Formats without sums, and flipped bits that change little, show nothing.
        quality: at which a JPEG was saved, 1 to 100; None where its tables do not tell, or if it is
            another file.
    """

    pixels: NDArray[np.uint8]
    header: Header
    damage: str | None = None
    quality: int | None = None


def decode_file(data: bytes, max_pixels: int) -> Decoded:
    """Check the header, and only then decode.

    Raises:
        InputError: see `ftsdk.imaging.decode.decode`; whatever a decoder raises becomes one.
    """
    try:
        check_size(*read_size(data), max_pixels)
        header = read_header(data)
        if not header.ended:
            data = jpeg.ended(data)
        if header.format in PLUGIN_FORMATS:
            pixels, header = decode_with_plugin(data, header)
            check_size(pixels.shape[1], pixels.shape[0], max_pixels)
        else:
            pixels = _decode_still(data, header)
        is_jpeg = header.format == "JPEG"
        damage, quality = (jpeg_damage(data), jpeg_quality(data)) if is_jpeg else (None, None)
        return Decoded(turned(pixels, header.orientation), header, damage, quality)
    except FtsdkError:
        raise
    except MemoryError as error:
        raise ImageLimitError(
            "There is not enough memory to decode the picture.",
            expected="memory for its pixels and for what its decoder needs",
            found="an allocation that failed",
            cure="Scale the picture down, or allow more memory.",
        ) from error
    except Exception as error:  # decoders raise all kinds
        raise ImageDamagedError(
            "The picture does not decode.",
            expected="bytes that its decoder takes",
            found=f"{type(error).__name__}: {error}",
            cure="Get an intact copy, or open it in a picture editor and save it again.",
        ) from error


def _decode_still(data: bytes, header: Header) -> NDArray[np.uint8]:
    plain = _PLAIN.get(header.format)
    pixels = _imdecode(plain(data) if plain else data, header)
    suspicious = header.format == "JPEG" and (_ends_grey(pixels) or not header.ended)
    if suspicious and _starved(data, header, pixels):
        found = "compressed data that ends before the picture does"
        raise truncated("JPEG", "data for every pixel", found)
    return pixels


def _imdecode(data: bytes, header: Header) -> NDArray[np.uint8]:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _flags(header))
    except cv2.error as error:
        raise _refused(header, f"OpenCV's message {error.err!r}") from error
    if pixels is None:
        raise _refused(header, "compressed data that OpenCV refuses")
    if pixels.shape != (header.height, header.width, 3):
        raise _refused(header, f"pixels of shape {list(pixels.shape)}")
    if pixels.dtype == np.uint16:
        return (pixels.view(np.uint16) >> 8).astype(np.uint8)
    return pixels.astype(np.uint8, copy=False)


def _flags(header: Header) -> int:
    # OpenCV scales a TIFF's 16 bits to 8, and confuses the channels of planes when it does not.
    deep = header.format == "TIFF" and header.bits == 16 and not header.planar
    return _FLAGS | cv2.IMREAD_ANYDEPTH if deep else _FLAGS


def _ends_grey(pixels: NDArray[np.uint8]) -> bool:
    corner = pixels[-1, -1].astype(int)
    return any((np.abs(corner - grey) <= 2).all() for grey in _MISSING_GREYS)


def _starved(data: bytes, header: Header, pixels: NDArray[np.uint8]) -> bool:
    return not np.array_equal(pixels, _imdecode(jpeg.padded(data), header))


def _refused(header: Header, found: str) -> ImageDamagedError:
    return ImageDamagedError(
        f"The {header.format} picture does not decode.",
        expected=f"{header.width}x{header.height} pixels, as its header says",
        found=found,
        cure="Get an intact copy, or open it in a picture editor and save it again.",
    )


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a view of `pixels` [H, W, C] uint8 upright, of an EXIF orientation from 1 to 8.

    2 to 4 mirror or rotate; 5 to 8 swap the sides too: [W, H, C].
    """
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
