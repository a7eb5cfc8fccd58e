"""Damage in compressed data that decoders pass over is noticed, and nothing else is."""

from __future__ import annotations

import random
import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from picture_files import encoded, save, scene
from PIL import Image

from ftsdk._native import jpeg_faults
from ftsdk.errors import ImageDamagedError, ImageTruncatedError
from ftsdk.imaging.damage import jpeg_damage
from ftsdk.imaging.decode import decode
from ftsdk.imaging.isolation import DecoderPool
from ftsdk.stopwatch import Stopwatch

PORTRAIT = (Path(__file__).parents[2] / "examples" / "pictures" / "portrait.jpg").read_bytes()


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [5, 30, 75, 95, 100])
def test_whole_files_show_no_damage(quality: int, subsampling: str) -> None:
    hard = np.random.default_rng(0).choice([0, 255], (61, 83, 3)).astype(np.uint8)
    for pixels in (scene(77, 133), hard, skimage.data.astronaut()[:200, :301]):
        for mode in ("L", "RGB", "CMYK"):
            image = Image.fromarray(pixels).convert(mode)
            options = {"subsampling": subsampling} if mode != "L" else {}
            for extra in ({}, {"optimize": True}, {"restart_marker_blocks": 3}):
                data = save(image, "JPEG", quality=quality, **options, **extra)
                assert not any((jpeg_faults(data) or {"": 1}).values())


def test_a_flipped_bit_that_shows_is_noticed() -> None:
    """Of those that change 1000 pixels by more than 24 of 255, at least nine in ten."""
    chance, whole = random.Random(3), decode(PORTRAIT).pixels.astype(int)
    start = PORTRAIT.index(b"\xff\xda") + 14
    shown = noticed = 0
    for _ in range(60):
        at, bit = chance.randrange(start, len(PORTRAIT) - 2), chance.randrange(8)
        try:
            picture = decode(_flipped(PORTRAIT, at, bit))
        except ImageTruncatedError:
            continue
        change = np.abs(picture.pixels.astype(int) - whole).max(axis=2)
        if (change > 24).sum() >= 1000:
            shown += 1
            noticed += picture.damaged
            assert picture.damaged == any("damaged" in note for note in picture.notes)
    assert shown >= 10
    assert noticed >= 0.9 * shown


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("quality", [5, 75, 100])
def test_whole_progressive_files_show_no_damage(quality: int, mode: str) -> None:
    image = Image.fromarray(scene(77, 133)).convert(mode)
    for extra in ({}, {"optimize": True}, {"restart_marker_blocks": 3}):
        data = save(image, "JPEG", quality=quality, progressive=True, **extra)
        assert jpeg_damage(data) is None


def test_a_flipped_bit_that_shows_is_noticed_in_progressive_files() -> None:
    """Of those that change 1000 pixels by more than 24 of 255, at least four in five."""
    pytest.importorskip("simplejpeg", reason="simplejpeg is not installed (extra formats)")
    image = Image.fromarray(decode(PORTRAIT).pixels[:, :, ::-1])
    data = save(image, "JPEG", quality=90, progressive=True)
    chance, whole = random.Random(3), decode(data).pixels.astype(int)
    start, shown, noticed = data.index(b"\xff\xda") + 14, 0, 0
    for _ in range(60):
        at, bit = chance.randrange(start, len(data) - 2), chance.randrange(8)
        try:
            picture = decode(_flipped(data, at, bit))
        except (ImageTruncatedError, ImageDamagedError):
            continue
        change = np.abs(picture.pixels.astype(int) - whole).max(axis=2)
        if (change > 24).sum() >= 1000:
            shown += 1
            noticed += picture.damaged
    assert shown >= 8
    assert noticed >= 0.8 * shown


def _png(rows: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_damage_in_a_png_is_refused_also_where_its_chunks_have_honest_sums() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    rows = zlib.compress(raw)
    assert not decode(_png(rows)).damaged
    for broken in (
        zlib.compress(raw[:6000]),
        rows[:6000],
        rows[:-4] + bytes(4),
        rows[:-4],
        zlib.compress(b"\x09" + raw[1:]),
        _flipped(rows, 3000, 2),
    ):
        with pytest.raises(ImageDamagedError):
            decode(_png(broken))
    for at in (40, 3000):  # in IDAT: its sum differs
        with pytest.raises(ImageDamagedError):
            decode(_flipped(_png(rows), at, 3))


def _with_restarts() -> tuple[bytes, list[int]]:
    data = encoded("restarts")
    start = data.index(b"\xff\xda")
    return data, [
        at
        for at in range(start, len(data))
        if data[at : at + 1] == b"\xff" and 0xD0 <= data[at + 1] <= 0xD7
    ]


def test_signs() -> None:
    data = encoded("jpeg")
    assert (jpeg_faults(data[:-2] + b"\x12\x34\xff\xd9") or {})["surplus"] == 2
    assert not (jpeg_faults(data[:-2] + b"\xff\xff\xff\xd9") or {})["surplus"]
    assert (jpeg_faults(data[:-60] + b"\xff\xd9") or {})["missing"] > 0
    restarts, places = _with_restarts()
    assert len(places) == 5 or len(places) == 11
    swapped = bytearray(restarts)
    swapped[places[0] + 1], swapped[places[1] + 1] = swapped[places[1] + 1], swapped[places[0] + 1]
    assert (jpeg_faults(bytes(swapped)) or {})["restarts"] > 0
    lost = restarts[: places[1]] + restarts[places[1] + 2 :]
    assert jpeg_damage(lost) is not None


def test_data_that_ends_early_is_a_cut() -> None:
    with pytest.raises(ImageTruncatedError, match="blocks"):
        jpeg_damage(encoded("jpeg")[:-60] + b"\xff\xd9")


def test_any_bytes_are_read_within_their_bounds() -> None:
    chance = random.Random(0)
    originals = [encoded("jpeg"), encoded("restarts"), encoded("progressive")]
    for _ in range(2000):
        file = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 8)):
            file[chance.randrange(len(file))] = chance.randrange(256)
        del file[chance.randint(len(file) // 2, len(file)) :]
        faults = jpeg_faults(bytes(file))
        assert faults is None or min(faults.values()) >= 0
    for short in (
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xda\0\2",
        b"\xff" * 99,
    ):
        assert not any((jpeg_faults(short) or {}).values())


def test_damage_is_told_from_another_process() -> None:
    data = encoded("jpeg")[:-2] + b"\x12\x34\xff\xd9"
    pool = DecoderPool()
    try:
        apart = decode(data, file_decoder=partial(pool.decode, watch=Stopwatch()))
    finally:
        pool.close()
    assert apart.damaged
    assert apart.notes == decode(data).notes
