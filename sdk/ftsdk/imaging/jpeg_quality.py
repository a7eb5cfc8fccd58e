"""How hard a JPEG file was compressed, from its quantisation table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TABLES, _SCAN, _END = 0xDB, 0xDA, 0xD9
#: The luminance table of ITU-T T.81, annex K.1, in zigzag order: what libjpeg scales.
_STANDARD = np.array([
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
    26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
    56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
    95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
])  # fmt: skip


def jpeg_quality(data: bytes) -> int | None:
    """Return the quality, 1 to 100, at which libjpeg's luminance table is nearest the file's.

    None where there is no table before the first scan. Other programs' tables get the quality of
    about their strength.
    """
    table = _luminance(data)
    if table is None:
        return None
    scaled = (table > 1) & (table < 255)  # what libjpeg had no need to limit
    if not scaled.any():
        return 100 if table.mean() < _STANDARD.mean() else 1
    percent = 100 * float(table[scaled].sum() / _STANDARD[scaled].sum())
    quality = 5000 / percent if percent > 100 else (200 - percent) / 2
    return min(max(round(quality), 1), 100)


def _luminance(data: bytes) -> NDArray[np.float64] | None:
    place, view = 2, memoryview(data)
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in (_SCAN, _END):
            break
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        table = _first_table(view[place + 4 : place + 2 + length]) if marker == _TABLES else None
        if table is not None:
            return table
        place += 2 + length
    return None


def _first_table(body: memoryview) -> NDArray[np.float64] | None:
    """Return table 0 of a segment of tables, if it is there."""
    while body:
        wide, number = body[0] >> 4, body[0] & 15
        size = 64 * (1 + (wide > 0))
        if len(body) <= size:
            return None
        if number == 0:
            values = np.frombuffer(body[1 : 1 + size], ">u2" if wide else "u1")
            return values.astype(np.float64)
        body = body[1 + size :]
    return None
