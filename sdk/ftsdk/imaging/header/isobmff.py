"""Structure of HEIC and AVIF files (ISO/IEC 14496-12 and 23008-12): sizes, and completeness."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ftsdk.imaging.header.facts import Format, Header, damaged, too_costly, truncated

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_MAX_BOXES = 10_000


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def kind(data: bytes) -> Format | None:
    """Return which of both the file's brands name; None where they name neither."""
    if data[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(data[:4], "big"), 4096)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, length, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None


def size(data: bytes) -> tuple[int, int]:
    """Return width and height of the largest picture in the file: none decodes to more.

    Raises:
        ImageTruncatedError: the file ends before its properties do.
        ImageDamagedError: it states no size.
        ImageLimitError: too many boxes.
    """
    name = kind(data) or "HEIC"
    sizes = []
    for box in _inside(data, name, (b"meta", b"iprp", b"ipco")):
        if box.kind == b"ispe" and box.end - box.start >= 12:
            width, height = struct.unpack_from(">II", data, box.start + 4)
            sizes.append((width * height, width, height))
    if not sizes:
        raise damaged(name, "a picture's size (ispe)", "none")
    _, width, height = max(sizes)
    return width, height


def read(data: bytes) -> Header:
    """Check that every box is in the file; the orientation is the decoder's to apply.

    Raises:
        ImageTruncatedError: a box ends beyond the file.
        ImageDamagedError: the boxes contradict themselves.
        ImageLimitError: too many boxes.
    """
    name = kind(data) or "HEIC"
    for _ in _boxes(data, name, 0, len(data)):
        pass
    width, height = size(data)
    properties = {box.kind for box in _inside(data, name, (b"meta", b"iprp", b"ipco"))}
    return Header(name, width, height, alpha=b"auxC" in properties)


def _inside(data: bytes, name: Format, path: tuple[bytes, ...]) -> Iterator[_Box]:
    """Yield the boxes inside the first box at `path`."""
    start, end = 0, len(data)
    for step in path:
        box = next((box for box in _boxes(data, name, start, end) if box.kind == step), None)
        if box is None:
            return
        start, end = box.start + 4 * (step == b"meta"), box.end
    yield from _boxes(data, name, start, end)


def _boxes(data: bytes, name: Format, at: int, end: int) -> Iterator[_Box]:
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        length = length or end - at
        if length < head:
            raise damaged(name, "boxes of 8 bytes or more", f"one of {length} at byte {at}")
        if at + length > end:
            raise truncated(name, f"{at + length} bytes or more", f"{end} bytes")
        yield _Box(kind, at + head, at + length)
        at += length
    raise too_costly(name, f"at most {_MAX_BOXES} boxes", "more")
