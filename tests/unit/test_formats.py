"""TIFF, BMP, GIF, HEIC, AVIF and JPEG XL: the same pixels as elsewhere, behind the same limits."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_jxl  # noqa: F401  # lets Pillow write JPEG XL
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import save, scene
from PIL import Image

from ftsdk.errors import (
    ImageDamagedError,
    ImageFormatError,
    ImageLimitError,
    ImageSizeError,
    ImageTruncatedError,
    InputError,
)
from ftsdk.imaging.decode import PICTURE_SUFFIXES, decode
from ftsdk.imaging.header import format_of, read_header, read_size

SCENE = Image.fromarray(scene())
BGR = scene()[:, :, ::-1]
HEIC = (Path(__file__).parents[1] / "pictures" / "scene.heic").read_bytes()
FILES: dict[str, bytes] = {
    "TIFF": save(SCENE, "TIFF"),
    "TIFF deflate": save(SCENE, "TIFF", compression="tiff_adobe_deflate"),
    "BMP": save(SCENE, "BMP"),
    "GIF": save(SCENE, "GIF"),
    "HEIC": HEIC,
    "AVIF": save(SCENE, "AVIF", quality=90),
    "JPEG XL": save(SCENE, "JXL", quality=90),
}


def _tiff(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    if pixels.ndim == 3:
        options.setdefault("photometric", "rgb")
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_reads_size_and_format(name: str) -> None:
    data = FILES[name]
    header = read_header(data)
    assert header.format == format_of(data[:64]) == name.removesuffix(" deflate")
    assert (header.width, header.height) == read_size(data) == (128, 96)


@pytest.mark.parametrize("name", ["HEIC", "AVIF", "JPEG XL"])
def test_lossy_formats_decode_to_nearly_the_same(name: str) -> None:
    picture = decode(FILES[name])
    assert np.abs(picture.pixels.astype(int) - BGR).mean() < 4
    assert picture.notes == ()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF"])
def test_modes_decode_as_pillow_does(kind: str, mode: str) -> None:
    data = save(SCENE.convert(mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[:, :, ::-1]
    np.testing.assert_array_equal(decode(data).pixels, expected)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_compressions_of_tiff(compression: str | None, mode: str) -> None:
    data = save(SCENE.convert(mode), "TIFF", compression=compression)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[:, :, ::-1]
    np.testing.assert_array_equal(decode(data).pixels, expected)


def test_jpeg_in_tiff() -> None:
    data = save(SCENE, "TIFF", compression="jpeg", quality=95)
    assert np.abs(decode(data).pixels.astype(int) - BGR).mean() < 3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (64, 64)},
        {"rowsperstrip": 7},
        {"compression": "zlib", "predictor": True},
    ],
    ids=str,
)
def test_sixteen_bits_of_tiff_keep_the_upper_eight(options: dict[str, Any]) -> None:
    wide = (scene().astype(np.uint16) << 8) | 201
    for pixels in (wide, wide[:, :, 0]):
        picture = decode(_tiff(pixels, **options))
        expected = BGR if pixels.ndim == 3 else np.dstack([scene()[:, :, 0]] * 3)
        np.testing.assert_array_equal(picture.pixels, expected)
        assert picture.notes == ("Channels of 16 bits were cut to their upper 8.",)


@pytest.mark.parametrize("shift", [0, 8])
def test_planes_of_tiff(shift: int) -> None:
    planes = np.moveaxis(scene().astype(np.uint16 if shift else np.uint8) << shift, 2, 0)
    picture = decode(_tiff(np.ascontiguousarray(planes), planarconfig="separate"))
    assert np.abs(picture.pixels.astype(int) - BGR).max() <= (1 if shift else 0)


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_of_tiff(turn: int) -> None:
    jpeg = Image.Exif()
    jpeg[0x0112] = turn
    expected = decode(save(SCENE, "PNG", exif=jpeg)).pixels
    for image in (SCENE, SCENE.convert("L")):
        picture = decode(save(image, "TIFF", tiffinfo={0x0112: turn}))
        assert picture.pixels.shape == expected.shape
        assert any("orientation" in note for note in picture.notes) == (turn > 1)
    np.testing.assert_array_equal(
        decode(save(SCENE, "TIFF", tiffinfo={0x0112: turn})).pixels, expected
    )


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_of_avif(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    expected = decode(save(SCENE, "PNG", exif=exif)).pixels
    picture = decode(save(SCENE, "AVIF", quality=95, exif=exif))  # takes the entry from exif
    assert np.abs(picture.pixels.astype(int) - expected).mean() < 3


def test_the_first_of_several_is_taken() -> None:
    frames = [SCENE, SCENE.rotate(180), SCENE.rotate(90)]
    gif = decode(save(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(gif.pixels, decode(save(SCENE, "GIF")).pixels)
    assert gif.notes == ("Animated: one of 3 frames was taken.",)
    tiff = decode(save(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(tiff.pixels, BGR)
    assert tiff.notes == ("Of 3 pages the first was taken.",)


def test_what_is_dropped_is_noted() -> None:
    assert decode(save(SCENE.convert("RGBA"), "TIFF")).notes == ("Transparency was dropped.",)
    assert "CMYK" in decode(save(SCENE.convert("CMYK"), "TIFF")).notes[0]
    assert "profile" in decode(save(SCENE, "TIFF", icc_profile=b"profile" * 20)).notes[0]


def test_wide_ranges_are_refused() -> None:
    real = scene().astype(np.float32)
    for pixels in (real, real.astype(np.float16), scene().astype(np.uint32), scene().view(np.int8)):
        with pytest.raises(ImageFormatError):
            decode(_tiff(pixels))


def test_a_preview_is_not_taken_for_the_photo() -> None:
    with pytest.raises(ImageFormatError, match="raw"):
        decode(_tiff(scene(), subfiletype=1))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("sixteenth", range(1, 16))
def test_a_cut_file_is_refused(name: str, sixteenth: int) -> None:
    data = FILES[name]
    with pytest.raises((ImageTruncatedError, ImageDamagedError)):
        decode(data[: len(data) * sixteenth // 16])


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_limited_before_decoding(name: str) -> None:
    with pytest.raises(ImageSizeError, match="128x96"):
        decode(FILES[name], max_pixels=96 * 128 - 1)


def _resized(name: str, width: int, height: int) -> bytes:
    data = bytearray(FILES[name])
    if name == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif name == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    else:
        at = data.index(b"ispe") + 8
        data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


@pytest.mark.parametrize("name", ["BMP", "GIF", "HEIC", "AVIF"])
def test_size_bombs_are_refused_by_their_header(name: str) -> None:
    with pytest.raises(ImageSizeError, match="20000x20000"):
        decode(_resized(name, 20_000, 20_000))


def test_a_header_that_understates_the_size_is_damage() -> None:
    with pytest.raises(InputError):
        decode(_resized("HEIC", 64, 48))


def test_jpeg_xl_sizes() -> None:
    for width, height in ((16, 16), (128, 96), (257, 129), (1000, 300), (640, 360), (300, 300)):
        for data in (
            save(Image.new("RGB", (width, height)), "JXL"),
            save(Image.new("RGB", (width, height)), "JXL", exif=b"Exif\0\0II*\0" + bytes(20)),
        ):
            assert read_size(data) == (width, height)


def test_parts_are_counted() -> None:
    gif = FILES["GIF"]
    start = 13 + (3 << ((gif[10] & 7) + 1))
    comments = gif[:start] + b"\x21\xfe\x01a\0" * 100_000 + gif[start:]
    with pytest.raises(ImageLimitError):
        read_header(comments)
    box = struct.pack(">I4s", 8, b"free")
    for data in (HEIC + box * 20_000, _container(box * 20_000)):
        with pytest.raises(ImageLimitError):
            read_header(data)
    tiff = bytearray(FILES["TIFF"])
    directory = int.from_bytes(tiff[4:8], "little")
    tiff[directory : directory + 2] = b"\xff\xff"
    with pytest.raises(ImageLimitError):
        read_header(bytes(tiff) + bytes(12 * 65_535))


def _container(boxes: bytes) -> bytes:
    return b"\0\0\0\x0cJXL \r\n\x87\n" + boxes + bytes(16)


def test_tiles_larger_than_the_picture_are_refused() -> None:
    data = bytearray(_tiff(scene(), tile=(64, 64)))
    for tag in (322, 323):
        at = (
            data.index(struct.pack("<HH", tag, 3))
            if struct.pack("<HH", tag, 3) in data
            else (data.index(struct.pack("<HH", tag, 4)))
        )
        data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 32_768)
    with pytest.raises(ImageLimitError, match="tiles"):
        read_header(bytes(data))


def test_pages_that_go_round_end() -> None:
    data = bytearray(FILES["TIFF"])
    directory = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[directory : directory + 2], "little")
    data[directory + 2 + 12 * entries : directory + 6 + 12 * entries] = struct.pack("<I", directory)
    assert read_header(bytes(data)).frames == 1000


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageFormatError, match="ftsdk\\[formats\\]"):
        decode(HEIC)


def test_a_video_is_no_picture() -> None:
    with pytest.raises(ImageFormatError, match="video"):
        read_size(struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"mp42") + bytes(100))


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".bmp", ".gif", ".heic", ".avif", ".jxl"])
def test_suffixes(suffix: str) -> None:
    assert suffix in PICTURE_SUFFIXES


def _changed(data: bytes, draw: Callable[[Any], Any]) -> bytes:
    file = bytearray(data)
    # Headers are short beside pixels, so half of the changes go there.
    for _ in range(draw(st.integers(1, 4))):
        last = len(file) - 1 if draw(st.booleans()) else min(len(file) - 1, 400)
        file[draw(st.integers(0, last))] = draw(st.integers(0, 255))
    return bytes(file)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(FILES)))
def test_changed_bytes_give_a_picture_or_a_typed_error(data: st.DataObject, name: str) -> None:
    with contextlib.suppress(InputError):
        assert decode(_changed(FILES[name], data.draw), max_pixels=4_000_000).pixels.ndim == 3
