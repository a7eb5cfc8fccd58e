"""Structure of a TIFF file (TIFF 6.0, and BigTIFF): its first page."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import ImageFormatError
from ftsdk.imaging.header import jpeg
from ftsdk.imaging.header.facts import Header, damaged, too_costly, truncated

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES = 273, 274, 277, 278, 279
_PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 284, 322, 323, 324, 325
_EXTRA, _FORMAT, _PROFILE = 338, 339, 34675
_TYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
_MAX_ENTRIES, _MAX_PAGES, _MAX_PARTS = 1000, 1000, 1_000_000
# Uncompressed, LZW, JPEG, deflate (two numbers), PackBits.
_COMPRESSIONS = {1, 5, 7, 8, 32946, 32773}
_JPEG_COMPRESSION, _SCANS_A_PART = 7, 4
# White or black is zero, RGB, palette, CMYK, YCbCr.
_PHOTOMETRICS = {0, 1, 2, 3, 5, 6}
_CMYK = 5
# Tiles may stand out over small pictures.
_TILE_PIXELS = 1 << 20


class _Page(NamedTuple):
    """A directory: each entry's values, where they stand, and the next directory."""

    values: dict[int, NDArray[np.uint64]]
    places: dict[int, int]
    next: int

    def one(self, tag: int, default: int = 0) -> int:
        values = self.values.get(tag)
        return default if values is None or not len(values) else int(values[0])


def size(data: bytes) -> tuple[int, int]:
    """Return width and height of the first page in pixels.

    Raises:
        ImageTruncatedError: the first directory is not in the file.
        ImageDamagedError: it has no size.
    """
    page = _page(data, _first(data))
    if _WIDTH not in page.values or _HEIGHT not in page.values:
        raise damaged("TIFF", "a width and a height", "none")
    return page.one(_WIDTH), page.one(_HEIGHT)


def read(data: bytes) -> Header:
    """Check that all of the first page is in the file, and count the others.

    Raises:
        ImageFormatError: a kind of TIFF that is not supported.
        ImageTruncatedError: the file ends within the page.
        ImageDamagedError: the directory contradicts itself.
        ImageLimitError: too many pages or parts.
    """
    width, height = size(data)
    page = _page(data, _first(data))
    bits = page.values.get(_BITS, np.ones(1, np.uint64))
    _check_kind(page, bits)
    _check_parts(data, page, width, height)
    turn = page.one(_ORIENTATION, 1)
    return Header(
        "TIFF",
        width,
        height,
        orientation=turn if 1 <= turn <= 8 else 1,
        frames=_count(data, page),
        bits=max(8, int(bits[0])),
        alpha=_EXTRA in page.values,
        cmyk=page.one(_PHOTOMETRIC) == _CMYK,
        profile=_PROFILE in page.values,
        planar=page.one(_PLANAR, 1) == 2,
    )


def unturned(data: bytes) -> bytes:
    """Return the file with orientation 1: decoders differ in whether they apply it."""
    place = _page(data, _first(data)).places.get(_ORIENTATION)
    if place is None:
        return data
    return data[:place] + struct.pack(_order(data) + "H", 1) + data[place + 2 :]


def _order(data: bytes) -> str:
    return "<" if data[:2] == b"II" else ">"


def _big(data: bytes) -> bool:
    return 43 in data[2:4]


def _first(data: bytes) -> int:
    if len(data) < 16:
        raise truncated("TIFF", "16 bytes or more", f"{len(data)} bytes")
    layout, at = ("Q", 8) if _big(data) else ("I", 4)
    (first,) = struct.unpack_from(_order(data) + layout, data, at)
    return int(first)


def _page(data: bytes, at: int) -> _Page:
    order, big = _order(data), _big(data)
    head, entry, tail, inline = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    try:
        (entries,) = struct.unpack_from(order + head, data, at)
        if entries > _MAX_ENTRIES:
            raise too_costly("TIFF", f"at most {_MAX_ENTRIES} entries", f"{entries}")
        start, step = at + struct.calcsize("<" + head), struct.calcsize("<" + entry) + inline
        values: dict[int, NDArray[np.uint64]] = {}
        places: dict[int, int] = {}
        for place in range(start, start + entries * step, step):
            tag, kind, count = struct.unpack_from(order + entry, data, place)
            if kind not in _TYPES or tag in values:
                values.setdefault(tag, np.zeros(0, np.uint64))
                continue
            places[tag] = place + step - inline
            values[tag] = _values(data, order, kind, count, places[tag], inline)
        (following,) = struct.unpack_from(order + tail, data, start + entries * step)
    except struct.error as error:
        raise truncated("TIFF", f"a directory at byte {at}", f"{len(data)} bytes") from error
    return _Page(values, places, int(following))


def _values(
    data: bytes, order: str, kind: int, count: int, place: int, inline: int
) -> NDArray[np.uint64]:
    if count > _MAX_PARTS:
        return np.zeros(0, np.uint64)  # no tag that is read here has so many
    layout = np.dtype(order + _TYPES[kind])
    if count * layout.itemsize > inline:
        (place,) = struct.unpack_from(order + ("Q" if inline == 8 else "I"), data, place)
    if place + count * layout.itemsize > len(data):
        found = f"{len(data)} bytes"
        raise truncated("TIFF", f"{place + count * layout.itemsize} bytes or more", found)
    return np.frombuffer(data, layout, count, place).astype(np.uint64)


def _check_kind(page: _Page, bits: NDArray[np.uint64]) -> None:
    wrong = {
        f"{bits.tolist()[:5]} bits": not len(bits)
        or bool((bits != bits[0]).any())
        or int(bits[0]) not in (1, 4, 8, 16),
        "floating-point or signed values": page.one(_FORMAT, 1) != 1,
        f"compression {page.one(_COMPRESSION, 1)}": page.one(_COMPRESSION, 1) not in _COMPRESSIONS,
        f"colours of kind {page.one(_PHOTOMETRIC)}": page.one(_PHOTOMETRIC) not in _PHOTOMETRICS,
        "a preview as the first page, as in raw photos": bool(page.one(_SUBFILE) & 1),
    }
    for found, applies in wrong.items():
        if applies:
            raise ImageFormatError(
                "This kind of TIFF is not supported.",
                expected="grey, RGB, palette, CMYK or YCbCr of up to 16 bits; uncompressed, LZW, "
                "deflate, PackBits or JPEG",
                found=found,
                cure="Open it in a picture editor and save it as an ordinary TIFF or PNG.",
            )


def _check_parts(data: bytes, page: _Page, width: int, height: int) -> None:
    """Raise unless the page's strips or tiles are as many as it takes, and in the file."""
    tiled = _TILE_OFFSETS in page.values
    offsets = page.values.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, np.zeros(0, np.uint64))
    counts = page.values.get(_TILE_BYTES if tiled else _STRIP_BYTES, np.zeros(0, np.uint64))
    across = page.one(_TILE_WIDTH) if tiled else width
    down = page.one(_TILE_HEIGHT) if tiled else min(page.one(_ROWS, height), height)
    if not across or not down or len(offsets) != len(counts):
        raise damaged("TIFF", "strips or tiles with their lengths", f"{len(offsets)}")
    if across * down > max(_TILE_PIXELS, 2 * width * height):
        raise too_costly("TIFF", "tiles of the picture's size at most", f"{across}x{down}")
    needed = -(-width // across) * -(-height // down)
    if page.one(_PLANAR, 1) == 2:
        needed *= page.one(_SAMPLES, 1)
    if len(offsets) < needed:
        raise damaged("TIFF", f"{needed} strips or tiles", f"{len(offsets)}")
    end = max((int(o) + int(c) for o, c in zip(offsets, counts, strict=True)), default=0)
    if end > len(data):
        raise truncated("TIFF", f"{end} bytes", f"{len(data)} bytes")
    if page.one(_COMPRESSION, 1) == _JPEG_COMPRESSION:
        for offset, count in zip(offsets.tolist(), counts.tolist(), strict=True):
            jpeg.check_part(data[offset : offset + count], _SCANS_A_PART)


def _count(data: bytes, page: _Page) -> int:
    pages = 1
    while page.next and pages < _MAX_PAGES:
        try:
            page = _page(data, page.next)
        except Exception:  # only the first one is looked at
            break
        pages += 1
    return pages
