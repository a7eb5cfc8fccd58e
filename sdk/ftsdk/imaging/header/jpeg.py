"""Structure of a JPEG file (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ftsdk.errors import ImageFormatError
from ftsdk.imaging.header.exif import orientation
from ftsdk.imaging.header.facts import Header, damaged, truncated

_SOI, _EOI, _SOS, _APP1, _APP2 = 0xD8, 0xD9, 0xDA, 0xE1, 0xE2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_FRAMES = {0xC0, 0xC1, 0xC2}
# In a scan, FF 00 is data, and restart markers (FF D0 to FF D7) do not end it.
_NEXT_MARKER = re.compile(rb"\xff+[^\x00\x01\xd0-\xd7\xff]")
# A progressive picture needs some ten scans; thousands of them only burn time.
_MAX_SCANS = 200


class _Segment(NamedTuple):
    marker: int
    body: bytes


def size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, from the frame header.

    Raises:
        ImageFormatError: a kind of JPEG that is not supported.
        ImageTruncatedError: the file ends before its frame header.
        ImageDamagedError: a scan comes before the frame header.
    """
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            frame = _frame(segment)
            return frame.width, frame.height
        if segment.marker in (_SOS, _EOI):
            break
    raise damaged("JPEG", "a frame header before the first scan", "none")


def read(data: bytes) -> Header:
    """Walk the whole file to its end marker.

    Raises:
        ImageFormatError: a kind of JPEG that is not supported.
        ImageTruncatedError: the file has no end marker.
        ImageDamagedError: segments in an impossible order.
    """
    frame: Header | None = None
    turn, profile, scans = 1, False, 0
    for marker, body in _segments(data):
        if marker in _FRAMES and frame is None:
            frame = _frame(_Segment(marker, body))
        elif marker == _APP1 and body[:6] == b"Exif\0\0" and turn == 1:
            turn = orientation(body)
        elif marker == _APP2 and body[:12] == b"ICC_PROFILE\0":
            profile = True
        scans += marker == _SOS
        if scans > _MAX_SCANS:
            raise damaged("JPEG", f"at most {_MAX_SCANS} scans", "more")
    if frame is None or scans == 0:
        raise damaged("JPEG", "a frame header and a scan", "none")
    return Header(
        "JPEG",
        frame.width,
        frame.height,
        orientation=turn,
        cmyk=frame.cmyk,
        profile=profile,
    )


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield each segment up to and with the end marker."""
    at = 2
    while True:
        found = _NEXT_MARKER.search(data, at)
        if found is None:
            raise truncated("JPEG", "an end marker (FF D9)", f"the end of data at byte {len(data)}")
        at = found.end()
        marker = data[at - 1]
        if marker == _EOI:
            yield _Segment(marker, b"")
            return
        if marker == _SOI:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, 2) > len(data):
            raise truncated("JPEG", f"{at + length} bytes or more", f"{len(data)} bytes")
        if length < 2:
            raise damaged("JPEG", "segments of 2 bytes or more", f"one of {length} at byte {at}")
        yield _Segment(marker, data[at + 2 : at + length])
        at += length


def _frame(segment: _Segment) -> Header:
    if segment.marker not in _HUFFMAN_FRAMES or len(segment.body) < 6 or segment.body[0] != 8:
        kind = f"frame type {segment.marker & 15} of {segment.body[:1].hex() or 'no'} bits"
        raise ImageFormatError(
            "This kind of JPEG is not supported.",
            expected="baseline or progressive JPEG of 8 bits a channel",
            found=kind,
            cure="Open it in a picture editor and save it as ordinary JPEG or PNG.",
        )
    height = int.from_bytes(segment.body[1:3], "big")
    width = int.from_bytes(segment.body[3:5], "big")
    return Header("JPEG", width, height, cmyk=segment.body[5] == 4)
