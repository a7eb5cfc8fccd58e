"""Every source gives the same upright BGR pixels, or a typed error that says why not."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import FORMATS, WAYS, animated, encoded, oriented, save, scene
from PIL import Image, ImageOps

from ftsdk.errors import (
    ArrayError,
    FtsdkError,
    ImageDamagedError,
    ImageFormatError,
    ImageNotFoundError,
    ImageSizeError,
    ImageTooSmallError,
    OptionError,
)
from ftsdk.imaging.decode import Picture, decode
from ftsdk.imaging.picture import MIN_SIDE

RGB = scene()
PICTURE = Image.fromarray(RGB)


def _pillow(data: bytes) -> np.ndarray:
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return np.asarray(upright.convert("RGB"))[:, :, ::-1]


@pytest.mark.parametrize("way", WAYS)
def test_files_decode_as_pillow_does(way: str) -> None:
    data = encoded(way)
    picture = decode(data)
    np.testing.assert_array_equal(picture.pixels, _pillow(data))
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert picture.notes == ()
    assert (picture.height, picture.width) == (96, 128)


def test_pixels_are_contiguous_and_read_only() -> None:
    for source in (encoded("png"), oriented("PNG", 6), RGB, PICTURE):
        pixels = decode(source).pixels
        assert pixels.flags.c_contiguous
        assert not pixels.flags.writeable


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", FORMATS)
def test_orientation_is_applied(kind: str, turn: int) -> None:
    data = oriented(kind, turn)
    picture = decode(data)
    np.testing.assert_array_equal(picture.pixels, _pillow(data))
    np.testing.assert_array_equal(decode(Image.open(io.BytesIO(data))).pixels, picture.pixels)
    assert (picture.height, picture.width) == ((96, 128) if turn < 5 else (128, 96))
    assert any("orientation" in note for note in picture.notes) == (turn > 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_modes_decode_as_pillow_does(mode: str) -> None:
    data = save(PICTURE.convert(mode), "PNG")
    np.testing.assert_array_equal(decode(data).pixels, _pillow(data))


def test_colours_under_transparency_stay() -> None:
    rgba = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    for data in (
        save(Image.fromarray(rgba), "PNG"),
        save(Image.fromarray(rgba), "WEBP", lossless=True, exact=True),
    ):
        picture = decode(data)
        np.testing.assert_array_equal(picture.pixels, RGB[:, :, ::-1])
        assert picture.notes == ("Transparency was dropped.",)


def test_cmyk_decodes_with_a_note() -> None:
    data = save(PICTURE.convert("CMYK"), "JPEG", quality=95)
    picture = decode(data)
    assert np.abs(picture.pixels.astype(int) - _pillow(data)).max() <= 1
    assert picture.notes == ("CMYK was converted without a colour profile.",)


def test_sixteen_bits_keep_the_upper_eight() -> None:
    wide = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    upper = np.repeat((wide >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    image = Image.fromarray(wide)
    for source in (save(image, "PNG"), image):
        picture = decode(source)
        np.testing.assert_array_equal(picture.pixels, upper)
        assert picture.notes == ("Channels of 16 bits were cut to their upper 8.",)


def test_colour_profile_is_noted() -> None:
    picture = decode(save(PICTURE, "PNG", icc_profile=b"profile" * 20))
    np.testing.assert_array_equal(picture.pixels, RGB[:, :, ::-1])
    assert picture.notes == ("The embedded colour profile was not applied.",)


@pytest.mark.parametrize(
    "data",
    [animated("PNG"), animated("PNG", default_image=True), animated("WEBP")],
    ids=["apng", "apng with a still", "webp"],
)
def test_animations_give_one_picture_and_a_note(data: bytes) -> None:
    picture = decode(data)
    np.testing.assert_array_equal(picture.pixels, RGB[:, :, ::-1])
    assert any("Animated" in note for note in picture.notes)


def test_all_sources_agree(tmp_path: Path) -> None:
    data = encoded("png")
    path = tmp_path / "scene.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        sources: list[Any] = [
            path,
            str(path),
            data,
            bytearray(data),
            memoryview(data),
            io.BytesIO(data),
            file,
            PICTURE,
            RGB[:, :, ::-1],
        ]
        pictures = [decode(source) for source in sources]
    for picture in pictures:
        np.testing.assert_array_equal(picture.pixels, RGB[:, :, ::-1])
    assert {p.sha256 for p in pictures[:7]} == {hashlib.sha256(data).hexdigest()}
    assert pictures[7].sha256 == pictures[8].sha256
    names = ["scene.png"] * 2 + ["bytes"] * 3 + ["file", "scene.png", "Pillow picture", "array"]
    assert [picture.name for picture in pictures] == names


def test_arrays_of_all_shapes_and_orders() -> None:
    grey = RGB[:, :, 0]
    rgba = np.dstack([RGB, grey])
    bgr = RGB[:, :, ::-1]
    np.testing.assert_array_equal(decode(RGB, color="rgb").pixels, bgr)
    np.testing.assert_array_equal(decode(rgba, color="rgb").pixels, bgr)
    np.testing.assert_array_equal(decode(np.dstack([bgr, grey])).pixels, bgr)
    for flat in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(decode(flat).pixels, np.dstack([grey] * 3))
    np.testing.assert_array_equal(decode(bgr[::-2, ::3]).pixels, bgr[::-2, ::3])


def test_hash_of_arrays_depends_on_shape_and_not_on_order() -> None:
    flat = np.zeros((32, 64, 3), np.uint8)
    assert decode(flat).sha256 != decode(flat.reshape(64, 32, 3)).sha256
    assert decode(RGB, color="rgb").sha256 == decode(RGB[:, :, ::-1]).sha256


def test_picture_does_not_follow_the_array_it_came_from() -> None:
    frame = RGB.copy()
    picture = decode(frame)
    frame[:] = 0
    assert picture.pixels.any()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((64, 64, 3), np.float32),
        np.full((64, 64, 3), np.nan),
        np.zeros((64, 64, 3), np.uint16),
        np.zeros((64, 64, 3), np.int64),
        np.zeros((64, 64), bool),
        np.zeros((64, 64, 2), np.uint8),
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros(64, np.uint8),
        np.zeros((), np.uint8),
        np.array([["a"]], object),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ArrayError) as caught:
        decode(array)
    assert str(array.dtype) in caught.value.found


def test_nan_is_named() -> None:
    with pytest.raises(ArrayError, match="NaN"):
        decode(np.full((64, 64, 3), np.nan, np.float32))


@pytest.mark.parametrize("shape", [(0, 64, 3), (1, 1, 3), (MIN_SIDE - 1, 64, 3), (1, 20_000)])
def test_small_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageTooSmallError):
        decode(np.zeros(shape, np.uint8))


def test_pixel_limit_holds_for_every_source() -> None:
    for source in (encoded("png"), RGB, PICTURE):
        assert decode(source, max_pixels=96 * 128).width == 128
        with pytest.raises(ImageSizeError) as caught:
            decode(source, max_pixels=96 * 128 - 1)
        assert "128x96" in caught.value.found


@pytest.mark.parametrize("options", [{"color": "RGB"}, {"color": "grey"}, {"max_pixels": 0}])
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        decode(RGB, **options)


def test_paths_that_hold_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "none.jpg", tmp_path, pipe, "", "a\0b", "x" * 5000, "https://a/b.jpg"):
        with pytest.raises(ImageNotFoundError) as caught:
            decode(path)
        assert ("ft-batch" in caught.value.cure) == (path in (tmp_path, ""))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_path(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded("png"))
    path.chmod(0)
    with pytest.raises(ImageNotFoundError, match="denied"):
        decode(path)


def test_wrong_file_objects() -> None:
    closed = io.BytesIO(encoded("png"))
    closed.close()
    with pytest.raises(ImageNotFoundError):
        decode(closed)
    with pytest.raises(ImageFormatError, match="binary"):
        decode(io.StringIO("text"))


@pytest.mark.parametrize("source", [None, 7, [[1, 2]], {"a": 1}, object()])
def test_other_objects_are_refused(source: object) -> None:
    with pytest.raises(ImageFormatError) as caught:
        decode(source)
    assert caught.value.found == type(source).__name__


def test_wrong_extension_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "scene.jpg"
    path.write_bytes(encoded("png"))
    assert decode(path).notes == ("The file is named .jpg but holds a PNG picture.",)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pillow_modes_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(ImageFormatError, match="range"):
        decode(Image.new(mode, (64, 64)))


def test_pillow_picture_cut_off_is_damage() -> None:
    data = encoded("png")
    with pytest.raises(ImageDamagedError):
        decode(Image.open(io.BytesIO(data[: len(data) // 2])))


def test_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(ImageSizeError):
        decode(path)


def test_picture_has_no_surprising_equality() -> None:
    picture = decode(RGB)
    assert picture == picture
    assert isinstance(picture, Picture)
    assert issubclass(ArrayError, FtsdkError)
