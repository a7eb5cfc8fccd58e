"""Headers are read right, and no structure that ends early passes."""

from __future__ import annotations

import contextlib
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import FORMATS, WAYS, animated, chunk, encoded, oriented, png_of, save, scene
from PIL import Image

from ftsdk.errors import (
    FtsdkError,
    ImageDamagedError,
    ImageFormatError,
    ImageLimitError,
    ImageTruncatedError,
)
from ftsdk.imaging.header import Header, read_header, read_size
from ftsdk.imaging.header.exif import orientation

PICTURE = Image.fromarray(scene())
NAMES = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP"}


@pytest.mark.parametrize("way", WAYS)
def test_reads_size_and_format(way: str) -> None:
    data = encoded(way)
    header = read_header(data)
    assert (header.width, header.height) == read_size(data) == (128, 96)
    assert header == Header(NAMES[WAYS[way][0]], 128, 96)  # type: ignore[arg-type]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", FORMATS)
def test_reads_the_orientation(kind: str, turn: int) -> None:
    assert read_header(oriented(kind, turn)).orientation == turn


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_counts_frames(kind: str) -> None:
    assert read_header(animated(kind)).frames == 3


@pytest.mark.parametrize("kind", FORMATS)
def test_finds_a_colour_profile(kind: str) -> None:
    assert read_header(save(PICTURE, kind, icc_profile=b"profile" * 20)).profile


def test_finds_what_decoding_will_drop() -> None:
    grey16 = save(Image.new("I;16", (32, 32)), "PNG")
    assert read_header(grey16).bits == 16
    assert read_header(save(PICTURE.convert("CMYK"), "JPEG")).cmyk
    assert read_header(save(PICTURE.convert("RGBA"), "PNG")).alpha
    assert read_header(save(PICTURE.convert("P"), "PNG", transparency=0)).alpha
    translucent = PICTURE.copy()
    translucent.putalpha(Image.linear_gradient("L").resize(PICTURE.size))
    assert read_header(save(translucent, "WEBP")).alpha
    assert read_header(save(translucent, "WEBP", lossless=True)).alpha


@pytest.mark.parametrize("way", WAYS)
def test_bytes_after_the_end_are_legal(way: str) -> None:
    data = encoded(way)
    assert read_header(data + b"<html>" + data) == read_header(data)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_any_cut_is_noticed(way: str, share: float) -> None:
    data = encoded(way)
    cut = data[: int(share * len(data))]
    if WAYS[way][0] == "JPEG" and len(cut) > data.rindex(b"\xff\xda") + 14:
        assert not read_header(cut).ended  # decoding tells whether the scan is all there
        return
    expected = (ImageTruncatedError, ImageFormatError) if len(cut) < 12 else ImageTruncatedError
    with pytest.raises(expected):
        read_header(cut)


def test_thumbnail_in_exif_does_not_end_the_picture() -> None:
    whole = encoded("jpeg")
    thumbnail = b"Exif\0\0" + whole
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = whole[:2] + segment + whole[2:]
    assert read_header(data).width == 128
    assert not read_header(data[:-2]).ended


def test_wrong_sum_is_damage() -> None:
    data = bytearray(encoded("png"))
    data[len(data) // 2] ^= 1
    with pytest.raises(ImageDamagedError):
        read_header(bytes(data))


def test_jpeg_without_frame_or_scan_is_damage() -> None:
    for data in (b"\xff\xd8\xff\xd9", encoded("jpeg")[:200].split(b"\xff\xc0")[0] + b"\xff\xd9"):
        with pytest.raises(ImageDamagedError):
            read_header(data)


def test_endless_scans_are_refused() -> None:
    data = encoded("jpeg")
    start = data.index(b"\xff\xda")
    with pytest.raises(ImageLimitError):
        read_header(data[:start] + data[start:-2] * 201 + data[-2:])


def test_scans_are_bounded_by_the_pixels_that_they_go_over() -> None:
    data = encoded("progressive")
    last = data.rindex(b"\xff\xda")
    scans = data[:-2] + data[last:-2] * 60 + data[-2:]
    assert read_header(scans).width == 128
    at = data.index(b"\xff\xc2") + 5
    large = scans[:at] + struct.pack(">HH", 10_000, 10_000) + scans[at + 4 :]
    with pytest.raises(ImageLimitError, match="at most 20 scans of 100000000 pixels"):
        read_header(large)


@pytest.mark.parametrize("end", [b"", b"\0", b"\xff\x00" * 1000])
def test_runs_of_ff_are_read_once(end: bytes) -> None:
    """From each of them anew would take hours: the run is long, and nothing follows it."""
    run = b"\xff" * 4_000_000 + end
    with pytest.raises(ImageTruncatedError):
        read_header(b"\xff\xd8" + run)
    assert not read_header(encoded("jpeg")[:-2] + run).ended
    assert read_header(b"\xff\xd8" + run[:-1] + encoded("jpeg")[2:]).width == 128


def test_parts_are_counted() -> None:
    jpeg, png, webp = encoded("jpeg"), encoded("png"), encoded("webp")
    empty = chunk(b"tEXt", b"")
    many = (
        jpeg[:2] + b"\xff\xe0\0\2" * 100_000 + jpeg[2:],
        jpeg[:2] + b"\xff\xd8" * 100_000 + jpeg[2:],
        png[:33] + empty * 100_000 + png[33:],
        b"RIFF" + struct.pack("<I", 800_000 + len(webp)) + webp[8:] + b"JUNK\0\0\0\0" * 100_001,
    )
    for data in many:
        with pytest.raises(ImageLimitError):
            read_header(data)


def test_rows_of_a_png_in_two_places_are_damage() -> None:
    png = png_of(64, 64)
    idat = chunk(b"IDAT", b"")
    with pytest.raises(ImageDamagedError, match="one row"):
        read_header(png[:-12] + chunk(b"tEXt", b"") + idat + png[-12:])


@pytest.mark.parametrize(("marker", "bits"), [(0xC3, 8), (0xC9, 8), (0xC0, 12)])
def test_unusual_jpegs_are_refused(marker: int, bits: int) -> None:
    data = bytearray(encoded("jpeg"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    with pytest.raises(ImageFormatError):
        read_size(bytes(data))


def test_webp_picture_that_exceeds_its_canvas_is_damage() -> None:
    data = bytearray(oriented("WEBP", 6))
    data[24:27] = (31).to_bytes(3, "little")
    with pytest.raises(ImageDamagedError):
        read_header(bytes(data))


@pytest.mark.parametrize("kind", ["ICO", "PDF", "JPEG2000"])
def test_other_formats_are_named(kind: str) -> None:
    with pytest.raises(ImageFormatError) as caught:
        read_size(save(PICTURE, kind))
    assert caught.value.expected == "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC, AVIF or JPEG XL"
    assert "bytes that begin" not in caught.value.found


@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"hello", b"RIFF\0\0\0\0WAVE", b"<svg/>"])
def test_no_picture_is_a_format_error(data: bytes) -> None:
    with pytest.raises(ImageFormatError):
        read_header(data)


def test_short_first_chunk_is_damage() -> None:
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II", 32, 32)) + chunk(b"IEND", b"")
    with pytest.raises(ImageDamagedError):
        read_header(data)


@given(exif=st.binary(max_size=200), order=st.sampled_from([b"II*\0", b"MM\0*"]))
def test_any_exif_gives_an_orientation(exif: bytes, order: bytes) -> None:
    assert orientation(exif) in range(1, 9)
    assert orientation(order + exif) in range(1, 9)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), way=st.sampled_from(sorted(WAYS)))
def test_changed_bytes_give_a_header_or_a_typed_error(data: st.DataObject, way: str) -> None:
    file = bytearray(encoded(way))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FtsdkError):
        assert isinstance(read_header(bytes(file)), Header)


def test_size_is_known_before_the_rest_has_arrived() -> None:
    assert read_size(png_of(20_000, 20_000)[:24]) == (20_000, 20_000)
    file = io.BytesIO(encoded("jpeg"))
    assert read_size(file.read(1024)) == (128, 96)
