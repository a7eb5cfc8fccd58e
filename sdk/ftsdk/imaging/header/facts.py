"""What a picture's header tells, and the errors that every format shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftsdk.errors import ImageDamagedError, ImageLimitError, ImageTruncatedError

Format = Literal["JPEG", "PNG", "WebP", "TIFF", "BMP", "GIF", "HEIC", "AVIF", "JPEG XL"]


@dataclass(frozen=True)
class Header:
    """The structure of one complete picture file, read without decoding a pixel.

    Attributes:
        format: as the bytes say, whatever the file is called.
        width: in pixels, before the orientation is applied.
        height: in pixels, before the orientation is applied.
        orientation: EXIF orientation 1 to 8; 1 where there is none or a wrong one.
        frames: pictures of an animation, or pages; 1 for a still picture.
        bits: of one channel.
        alpha: whether the file carries transparency.
        cmyk: whether the file holds four printing colours.
        profile: whether the file carries an ICC colour profile.
        planar: whether each colour's pixels are stored apart.
        ended: whether the end marker is there; without it, whether all data is, decoding tells.
    """

    format: Format
    width: int
    height: int
    orientation: int = 1
    frames: int = 1
    bits: int = 8
    alpha: bool = False
    cmyk: bool = False
    profile: bool = False
    planar: bool = False
    ended: bool = True


def truncated(kind: Format, expected: str, found: str) -> ImageTruncatedError:
    return ImageTruncatedError(
        f"The {kind} picture is cut off.",
        expected=expected,
        found=found,
        cure="Copy or download the file again; a part of it is missing.",
    )


def damaged(kind: Format, expected: str, found: str) -> ImageDamagedError:
    return ImageDamagedError(
        f"The {kind} picture is damaged.",
        expected=expected,
        found=found,
        cure="Get an intact copy, or open it in a picture editor and save it again.",
    )


def too_costly(kind: Format, expected: str, found: str) -> ImageLimitError:
    return ImageLimitError(
        f"The {kind} picture would take too much work to decode.",
        expected=expected,
        found=found,
        cure="Open it in a picture editor and save it as an ordinary file.",
    )
