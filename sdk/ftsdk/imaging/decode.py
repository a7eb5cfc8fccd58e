"""The one door by which pictures come in: paths, bytes, files, Pillow pictures, arrays."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, Union

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import (
    ArrayError,
    FtsdkError,
    ImageDamagedError,
    ImageFormatError,
    ImageNotFoundError,
    ImageSizeError,
    OptionError,
)
from ftsdk.imaging.codec import Decoded, decode_file, turned
from ftsdk.imaging.header import Header
from ftsdk.imaging.picture import MAX_PIXELS, Picture, check_size, freeze
from ftsdk.imaging.pillow import is_16_bit, is_translucent, orientation_of, pixels_of
from ftsdk.text import name_of, visible

__all__ = ["PICTURE_SUFFIXES", "Picture", "decode"]

Color = Literal["bgr", "rgb"]
Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, NDArray[Any], Any]
#: Bytes and the pixel limit to pixels; `decode_file` here, or the same in another process.
FileDecoder = Callable[[bytes, int], Decoded]

#: What the last axis of an array may hold: grey, BGR or RGB, and either with alpha.
_CHANNELS = (1, 3, 4)
_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png", ".apng"},
    "WebP": {".webp"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    "HEIC": {".heic", ".heif", ".hif"},
    "AVIF": {".avif"},
    "JPEG XL": {".jxl"},
}
PICTURE_SUFFIXES: frozenset[str] = frozenset().union(*_SUFFIXES.values())
"""What picture files are called, in lower case; what they hold decides, not their name."""


def decode(
    source: Source,
    *,
    color: Color = "bgr",
    max_pixels: int = MAX_PIXELS,
    file_decoder: FileDecoder = decode_file,
) -> Picture:
    """Turn any supported source into an upright BGR picture.

    Files must be complete JPEG, PNG, WebP, TIFF, BMP or GIF, or, with `ftsdk[formats]`,
    HEIC, AVIF or JPEG XL; size limits are checked from the header before decoding. The
    EXIF orientation is applied, also to Pillow pictures.
    Transparency is dropped (the colours under it stay), as Pillow's `convert("RGB")`
    does; 16-bit channels keep their upper 8 bits; of an animation the still or first
    picture is taken, and of several pages the first. `Picture.notes` tells which of these happened.

    Args:
        source: path, bytes, binary file object, Pillow picture, or a uint8 array of
            `[H, W]`, `[H, W, 1]`, `[H, W, 3]` or `[H, W, 4]`.
        color: channel order of an array, alpha last; nothing else is affected.
        max_pixels: width times height that is refused when exceeded.
        file_decoder: what decodes a file's bytes.

    Raises:
        ImageNotFoundError: no readable regular file there.
        ImageFormatError: not a picture, or of a format that is not supported.
        ImageTruncatedError: the file ends early.
        ImageDamagedError: the file's structure or its compressed data is broken.
        ImageSizeError: sides or pixels out of range.
        ImageLimitError: decoding would take too much work.
        ArrayError: an array of another dtype or shape.
        OptionError: an unknown `color` or a `max_pixels` below 1.
    """
    check_color(color)
    check_max_pixels(max_pixels)
    if isinstance(source, (str, os.PathLike)):
        return _decode_path(Path(os.fsdecode(source)), max_pixels, file_decoder)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _picture(bytes(source), "bytes", max_pixels, file_decoder)
    if isinstance(source, np.ndarray):
        return _decode_array(source, color, max_pixels)
    if hasattr(source, "getexif") and hasattr(source, "convert"):
        return _decode_pillow(source, max_pixels)
    if hasattr(source, "read"):
        name = visible(name_of(Path(str(getattr(source, "name", "file"))).name))
        return _picture(_read_file(source, max_pixels), name, max_pixels, file_decoder)
    raise _no_source(source)


def several(sources: Iterable[Source]) -> Iterable[Source]:
    """Return what `decode` takes one after the other.

    Raises:
        OptionError: it is one picture, whose letters, bytes or rows would each be taken for one.
    """
    one = isinstance(sources, str | os.PathLike | bytes | bytearray | memoryview)
    one = one or hasattr(sources, "read") or hasattr(sources, "getexif")
    if isinstance(sources, np.ndarray):
        one = sources.ndim < 3 or (sources.ndim == 3 and sources.shape[2] in _CHANNELS)
    if not one:
        return sources
    raise OptionError(
        "One picture was passed where several are expected.",
        expected="a list, or anything else that gives one picture after the other",
        found=type(sources).__name__,
        cure="Pass [picture]; a folder's pictures are sorted(Path(folder).iterdir()).",
    )


def check_color(color: str) -> None:
    """Raise OptionError unless `color` is an array's channel order."""
    if color not in ("bgr", "rgb"):
        raise OptionError(
            "The channel order is unknown.",
            expected="'bgr' or 'rgb'",
            found=repr(color),
            cure="Leave color out for arrays from cv2.imread, say 'rgb' for all others.",
        )


def check_max_pixels(max_pixels: int) -> None:
    """Raise OptionError unless `max_pixels` is a number of pixels."""
    if not isinstance(max_pixels, int) or max_pixels < 1:
        raise OptionError(
            "The pixel limit is out of range.",
            expected="a whole number, 1 or more",
            found=repr(max_pixels),
            cure=f"Leave max_pixels at its default of {MAX_PIXELS}.",
        )


def _no_source(source: object) -> ImageFormatError:
    cure = "Pass the picture's path, or numpy.asarray(...) of it as uint8."
    if isinstance(source, list | tuple):
        cure = "Pass one picture; Analyzer.analyze_many takes several."
    return ImageFormatError(
        "This object is no source of a picture.",
        expected="a path, bytes, binary file object, Pillow picture or uint8 array",
        found=type(source).__name__,
        cure=cure,
    )


def _decode_path(path: Path, max_pixels: int, file_decoder: FileDecoder) -> Picture:
    name = visible(name_of(path.name))
    picture = _picture(_read_path(path, max_pixels), name, max_pixels, file_decoder)
    return replace(picture, path=path.absolute())


def _max_bytes(max_pixels: int) -> int:
    # Four channels of 16 bits without any compression, and a mebibyte of metadata.
    return 8 * max_pixels + 2**20


def _read_path(path: Path, max_pixels: int) -> bytes:
    try:
        status = path.stat()
        file = path.open("rb") if stat.S_ISREG(status.st_mode) else None
    except (OSError, ValueError) as error:
        raise not_found(str(path), getattr(error, "strerror", None) or str(error)) from error
    if file is None:
        if stat.S_ISDIR(status.st_mode):
            cure = "Name its pictures one by one, or hand the folder to ft-batch."
            raise not_found(str(path), "a directory", cure)
        raise not_found(str(path), "no regular file")
    with file:
        if status.st_size > _max_bytes(max_pixels):
            raise _too_many_bytes(status.st_size, max_pixels)
        return _read_file(file, max_pixels)


def _read_file(file: BinaryIO, max_pixels: int) -> bytes:
    limit = _max_bytes(max_pixels)
    try:
        data = file.read(limit + 1)
    except Exception as error:  # an archive's or a network's file object raises its own
        found = str(error) or type(error).__name__
        raise not_found(str(getattr(file, "name", "the file object")), found) from error
    if not isinstance(data, bytes):
        raise ImageFormatError(
            "The file object does not give bytes.",
            expected="a file opened in binary mode",
            found=f"read() gave {type(data).__name__}",
            cure="Open the file with mode 'rb'.",
        )
    if len(data) > limit:
        raise _too_many_bytes(len(data), max_pixels)
    return data


def not_found(
    path: str,
    found: str,
    cure: str = "Check the path and its permissions; a URL must be downloaded first.",
) -> ImageNotFoundError:
    """Return the error of a file that cannot be read, whose `path` is shown."""
    return ImageNotFoundError(
        f"No picture can be read from {path!r}.",
        expected="a readable file",
        found=found,
        cure=cure,
    )


def _too_many_bytes(size: int, max_pixels: int) -> ImageSizeError:
    return ImageSizeError(
        "The file is too large for a picture.",
        expected=f"at most {_max_bytes(max_pixels)} bytes for {max_pixels} pixels",
        found=f"{size} bytes or more",
        cure="Save the picture with compression, or raise max_pixels.",
    )


def _picture(data: bytes, name: str, max_pixels: int, file_decoder: FileDecoder) -> Picture:
    decoded = file_decoder(data, max_pixels)
    digest = hashlib.sha256(data).hexdigest()
    notes = [*_notes(decoded.header, name), *filter(None, [decoded.damage])]
    picture = freeze(decoded.pixels, digest, name, notes)
    damaged = decoded.damage is not None
    return replace(picture, damaged=damaged, jpeg_quality=decoded.quality)


def _notes(header: Header, name: str) -> list[str]:
    suffix = Path(name).suffix.lower()
    named = {kind for kind, suffixes in _SUFFIXES.items() if suffix in suffixes}
    notes = {
        f"The file is named {suffix} but holds a {header.format} picture.": named
        and header.format not in named,
        f"Turned upright from EXIF orientation {header.orientation}.": header.orientation != 1,
        _which_frame(header): header.frames > 1,
        "Channels of 16 bits were cut to their upper 8.": header.bits == 16,
        "Transparency was dropped.": header.alpha,
        "CMYK was converted without a colour profile.": header.cmyk,
        "The embedded colour profile was not applied.": header.profile,
        "The file lacks its end marker; all of its pixels are there.": not header.ended,
    }
    return [note for note, applies in notes.items() if applies]


def _which_frame(header: Header) -> str:
    if header.format == "TIFF":
        return f"Of {header.frames} pages the first was taken."
    return f"Animated: one of {header.frames} frames was taken."


def _decode_array(array: NDArray[Any], color: Color, max_pixels: int) -> Picture:
    channels = 1 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else 0
    if array.dtype != np.uint8 or channels not in _CHANNELS:
        raise _wrong_array(array)
    check_size(array.shape[1], array.shape[0], max_pixels)
    pixels = array.reshape(*array.shape[:2], channels)
    if channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    notes = ["Transparency was dropped."] if channels == 4 else []
    ordered = pixels[:, :, :3] if color == "bgr" else pixels[:, :, 2::-1]
    return freeze(np.array(ordered, order="C"), None, "array", notes)


def _wrong_array(array: NDArray[Any]) -> ArrayError:
    found = f"{list(array.shape)} {array.dtype}"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        found += " with NaN or infinity"
    return ArrayError(
        "The array is no picture.",
        expected="[H, W], [H, W, 3] or [H, W, 4] uint8",
        found=found,
        cure="Scale the values to 0..255 and convert: (255 * array).round().astype('uint8').",
    )


def _decode_pillow(image: Any, max_pixels: int) -> Picture:
    width, height = image.size
    check_size(width, height, max_pixels)
    try:
        orientation = orientation_of(image)
        pixels = turned(pixels_of(image), orientation)
    except FtsdkError:
        raise
    except Exception as error:  # Pillow's decoders raise all kinds, SyntaxError among them
        raise ImageDamagedError(
            "The Pillow picture does not decode.",
            expected="a picture that Pillow can load",
            found=f"{type(error).__name__}: {error}",
            cure="Open the file with ftsdk itself, which tells what is wrong with it.",
        ) from error
    notes = {
        "Channels of 16 bits were cut to their upper 8.": is_16_bit(image),
        f"Turned upright from EXIF orientation {orientation}.": orientation != 1,
        "Transparency was dropped.": is_translucent(image),
    }
    told = [note for note, applies in notes.items() if applies]
    return freeze(np.array(pixels, order="C"), None, "Pillow picture", told)
