"""Structure of a JPEG file (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ftsdk.errors import ImageFormatError
from ftsdk.imaging.header.exif import orientation
from ftsdk.imaging.header.facts import Header, damaged, too_costly, truncated

_SOI, _EOI, _SOS, _APP1, _APP2 = 0xD8, 0xD9, 0xDA, 0xE1, 0xE2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_FRAMES = {0xC0, 0xC1, 0xC2}
# In a scan, FF 00 is data, and restart markers (FF D0 to FF D7) do not end it.
# One FF and no run of them, which would be tried anew from each of its bytes.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
# Profiles and previews take some hundred segments.
_MAX_SEGMENTS = 10_000
# A progressive picture needs some ten scans; each goes over all of its pixels again.
_MAX_SCANS, _MAX_SCANNED_PIXELS = 100, 2_000_000_000
_COMPONENTS = (1, 3, 4)
_END = b"\xff\xd9"
# No run of zeros, which can be a legal end of blocks; and no marker.
_PADDING = b"\x5a\xc3\x96" * 32


class _Segment(NamedTuple):
    marker: int
    body: bytes
    start: int


def size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, from the frame header.

    Raises:
        ImageFormatError: a kind of JPEG that is not supported.
        ImageTruncatedError: the file ends before its frame header.
        ImageDamagedError: a scan comes before the frame header.
    """
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            frame = _frame(segment.marker, segment.body)
            return frame.width, frame.height
        if segment.marker in (_SOS, _EOI):
            break
    raise damaged("JPEG", "a frame header before the first scan", "none")


def read(data: bytes) -> Header:
    """Walk the whole file to its end marker, or to where a scan's data end without one.

    Raises:
        ImageFormatError: a kind of JPEG that is not supported.
        ImageTruncatedError: the file ends within a segment, or lacks scans.
        ImageDamagedError: segments in an impossible order.
        ImageLimitError: too many segments or scans.
    """
    frame: Header | None = None
    components = b""
    turn, profile, ended = 1, False, True
    scans: list[bytes] = []
    for marker, body, start in _segments(data):
        if marker in _FRAMES and frame is None:
            frame, components = _frame(marker, body), body[6::3]
        elif marker == _APP1 and body[:6] == b"Exif\0\0" and turn == 1:
            turn = orientation(body)
        elif marker == _APP2 and body[:12] == b"ICC_PROFILE\0":
            profile = True
        elif marker == _SOS:
            scans.append(body)
        elif marker == _EOI:
            ended = start < len(data)
    if frame is None or not scans:
        raise damaged("JPEG", "a frame header and a scan", "none")
    _check_work(len(scans), frame.width * frame.height)
    _check_scans(components, scans)
    return replace(frame, orientation=turn, profile=profile, ended=ended)


def check_part(data: bytes, most_scans: int) -> None:
    """Raise ImageLimitError where a JPEG within another file has more scans than it takes there."""
    scans = sum(segment.marker == _SOS for segment in _segments(data))
    if scans > most_scans:
        raise too_costly("JPEG", f"at most {most_scans} scans in a part of a TIFF", f"{scans}")


def ended(data: bytes) -> bytes:
    """Return the file with the end marker that it lacks."""
    return data.rstrip(b"\xff") + _END


def padded(data: bytes) -> bytes:
    """Return the file with bytes before its end marker that only a starved decoder reads.

    A decoder whose compressed data ends early draws the rest grey and is content. With
    padding it draws something else there, while a picture that is all there stays the same.
    """
    end = next(segment.start for segment in _segments(data) if segment.marker == _EOI)
    return data[:end] + _PADDING + data[end:]


def _check_work(scans: int, pixels: int) -> None:
    most = min(_MAX_SCANS, max(1, _MAX_SCANNED_PIXELS // max(1, pixels)))
    if scans > most:
        raise too_costly("JPEG", f"at most {most} scans of {pixels} pixels", f"{scans}")


def _check_scans(components: bytes, scans: list[bytes]) -> None:
    """Raise unless every component's 64 coefficients arrive down to their last bit."""
    missing = {(component, k) for component in components for k in range(64)}
    for body in scans:
        count = body[0] if body else 0
        members, tail = body[1 : 1 + 2 * count : 2], body[1 + 2 * count :]
        if not 1 <= count <= len(components):
            raise damaged("JPEG", f"1 to {len(components)} components a scan", f"{count}")
        if len(tail) < 3:
            raise damaged("JPEG", "a scan header of its full length", f"{len(body)} bytes")
        first, last, bit = tail[0], tail[1], tail[2] & 15
        if bit == 0:
            missing -= {(member, k) for member in members for k in range(first, last + 1)}
    if missing:
        raise truncated("JPEG", "scans for all coefficients", f"{len(scans)} scans that lack some")


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield each segment up to and with the end marker, at the file's end where a scan lacks it."""
    at, marker = 2, _SOI
    for _ in range(_MAX_SEGMENTS):
        found = _NEXT_MARKER.search(data, at)
        if found is None and marker == _SOS:
            yield _Segment(_EOI, b"", len(data))
            return
        if found is None:
            raise truncated("JPEG", "an end marker (FF D9)", f"the end of data at byte {len(data)}")
        at = found.end()
        marker = data[at - 1]
        if marker == _EOI:
            yield _Segment(marker, b"", at - 2)
            return
        if marker == _SOI:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, 2) > len(data):
            raise truncated("JPEG", f"{at + length} bytes or more", f"{len(data)} bytes")
        if length < 2:
            raise damaged("JPEG", "segments of 2 bytes or more", f"one of {length} at byte {at}")
        yield _Segment(marker, data[at + 2 : at + length], at - 2)
        at += length
    raise too_costly("JPEG", f"at most {_MAX_SEGMENTS} segments", "more")


def _frame(marker: int, body: bytes) -> Header:
    if marker not in _HUFFMAN_FRAMES or len(body) < 6 or body[0] != 8:
        raise ImageFormatError(
            "This kind of JPEG is not supported.",
            expected="baseline or progressive JPEG of 8 bits a channel",
            found=f"frame type {marker & 15} of {body[0] if body else 'no'} bits",
            cure="Open it in a picture editor and save it as ordinary JPEG or PNG.",
        )
    if body[5] not in _COMPONENTS or len(body) != 6 + 3 * body[5]:
        raise damaged("JPEG", "1, 3 or 4 components in the frame header", f"{body[5]}")
    height = int.from_bytes(body[1:3], "big")
    width = int.from_bytes(body[3:5], "big")
    return Header("JPEG", width, height, cmyk=body[5] == 4)
