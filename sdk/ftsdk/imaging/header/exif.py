"""The one EXIF entry that changes what a picture shows: its orientation."""

from __future__ import annotations

import struct

ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_MAX_ENTRIES = 1000


def orientation(exif: bytes) -> int:
    """Read the orientation, 1 to 8, of an EXIF block; 1 where it cannot be read.

    Cameras write all kinds of EXIF, so a fault in it is no fault of the picture.

    Args:
        exif: a TIFF structure, with or without the `Exif` prefix of JPEG.
    """
    tiff = exif[6:] if exif[:6] == b"Exif\0\0" else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        value = _find(tiff, order)
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1


def _find(tiff: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for i in range(min(entries, _MAX_ENTRIES)):
        at = directory + 2 + 12 * i
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag == ORIENTATION and count == 1 and kind in (_SHORT, _LONG):
            value: int
            (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, at + 8)
            return value
    return 1
