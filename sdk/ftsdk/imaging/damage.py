"""Damage that a decoder passes over: what compressed data cannot hold unless it was changed."""

from __future__ import annotations

from ftsdk._native import jpeg_faults
from ftsdk.imaging.header.facts import truncated

_SIGNS = {
    "surplus": "bytes that belong to no pixel",
    "codes": "codes that do not exist",
    "padding": "unused bits that differ",
    "restarts": "restart markers out of order",
    "zero_runs": "zeros without an end",
    "ranges": "blocks that no pixels can have made",
}
_WARNING = "Corrupt JPEG data: "
# Some encoders write these everywhere.
_HABITS, _HABITUAL = ("padding", "zero_runs"), 4


def jpeg_damage(data: bytes) -> str | None:
    """Return one sentence on the damage in a JPEG's compressed data, or None.

    A flipped bit shifts the codes behind it, mostly until the next restart marker. What it does
    not shift, such as the lower bits of one coefficient, cannot be told from a picture. Of
    progressive files libjpeg's warnings are told, where `ftsdk[formats]` is installed.

    Raises:
        ImageTruncatedError: the data ends before the picture does.
    """
    faults = jpeg_faults(data)
    if faults is None:
        return _told_by_libjpeg(data)
    if faults["missing"]:
        found = f"data that ends {faults['missing']} blocks of 8x8 before the picture does"
        raise truncated("JPEG", "data for every pixel", found)
    if any(faults[sign] > _HABITUAL for sign in _HABITS):
        faults |= dict.fromkeys(_HABITS, 0)
    signs = [words for sign, words in _SIGNS.items() if faults[sign]]
    if not signs:
        return None
    return _damaged(", ".join(signs))


def _told_by_libjpeg(data: bytes) -> str | None:
    try:
        from simplejpeg import decode_jpeg  # OpenCV's libjpeg warns on stderr, and goes on
    except ImportError:
        return None
    try:
        decode_jpeg(data, "GRAY", min_height=1, min_width=1)
    except ValueError as error:
        # It refuses what OpenCV takes, such as CMYK; that is no damage.
        _, warned, sign = str(error).partition(_WARNING)
        return _damaged(sign) if warned else None
    return None


def _damaged(signs: str) -> str:
    return f"The compressed data is damaged ({signs}); parts of the picture are wrong."
