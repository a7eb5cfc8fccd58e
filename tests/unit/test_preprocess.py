"""The squash equals Pillow's, bit for bit, at any size, order and stride."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ftsdk._native import avx2_available, resize_normalise
from ftsdk.errors import ArrayError, OptionError
from ftsdk.imaging.preprocess import Preprocessing

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
PLAIN = Preprocessing(size=1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
# Pillow 13 began to squash rows first where that squash is by far the greater one.
ROWS_MAY_GO_FIRST = int(PIL.__version__.split(".")[0]) >= 13

sides = st.one_of(st.integers(1, 12), st.integers(1, 700))
sizes = st.sampled_from((1, 2, 7, 16, 31, 32, 33, 64, 100, 224))


def _noise(height: int, width: int, seed: int, hard: bool = False) -> NDArray[np.uint8]:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return (picture // 128 * 255).astype(np.uint8) if hard else picture


def _pillow(bgr: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    rgb = Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1]))
    return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)[None]


def _steps(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(values * 255).astype(np.uint8)


def _rows_first(height: int, width: int, size: int) -> bool:
    return height > size and height - size > 2 * (width - size)


@settings(max_examples=150, deadline=None)
@given(height=sides, width=sides, size=sizes, hard=st.booleans(), seed=st.integers(0, 99))
@example(height=1, width=1, size=224, hard=False, seed=0)
@example(height=1, width=3000, size=224, hard=True, seed=0)
@example(height=3000, width=17, size=224, hard=True, seed=0)
@example(height=224, width=224, size=224, hard=False, seed=0)
@example(height=449, width=224, size=224, hard=True, seed=0)
@example(height=2003, width=1999, size=224, hard=False, seed=0)
def test_equals_pillow(height: int, width: int, size: int, hard: bool, seed: int) -> None:
    assume(ROWS_MAY_GO_FIRST or not _rows_first(height, width, size))
    picture = _noise(height, width, seed, hard)
    values = Preprocessing(size, PLAIN.mean, PLAIN.std).pixel_values(picture)
    np.testing.assert_array_equal(_steps(values), _pillow(picture, size))


@settings(max_examples=40, deadline=None)
@given(height=sides, width=sides, size=sizes)
@example(height=1500, width=1300, size=224)
def test_portable_path_equals_the_other(height: int, width: int, size: int) -> None:
    if not avx2_available():
        pytest.skip("this processor has the portable path only")
    picture = _noise(height, width, 1)
    wide, portable = (
        resize_normalise(picture, size=size, mean=MEAN, std=STD, reversed=True, portable=portable)
        for portable in (False, True)
    )
    np.testing.assert_array_equal(wide, portable)


@pytest.mark.parametrize("shape", [(301, 224), (900, 50), (64, 513)])
def test_strides_do_not_matter(shape: tuple[int, int]) -> None:
    preprocessing = Preprocessing(96, MEAN, STD)
    padded = _noise(2 * shape[0], 2 * shape[1] + 6, 2)
    views = (
        padded[::2, 6::2],
        padded[::-2, :-6:2][:, ::-1],
        np.asfortranarray(padded[: shape[0], : shape[1]]),
        padded[: shape[0], : shape[1], ::-1],
    )
    for view in views:
        np.testing.assert_array_equal(
            preprocessing.pixel_values(view),
            preprocessing.pixel_values(np.ascontiguousarray(view)),
        )


def test_normalises_in_float32_and_rgb_order() -> None:
    picture = _noise(40, 40, 3)
    values = Preprocessing(40, MEAN, STD).pixel_values(picture)
    rgb = picture[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    mean = np.float32(MEAN).reshape(1, 3, 1, 1)
    std = np.float32(STD).reshape(1, 3, 1, 1)
    assert values.shape == (1, 3, 40, 40)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, (rgb / np.float32(255) - mean) / std)


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("shape", [(5, 7), (300, 200), (1000, 30)])
def test_flat_pictures_stay_flat(level: int, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), level, np.uint8)
    values = Preprocessing(50, PLAIN.mean, PLAIN.std).pixel_values(picture)
    assert (_steps(values) == level).all()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_refuses_what_is_no_picture(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ArrayError) as caught:
        PLAIN.pixel_values(picture)
    assert str(picture.dtype) in caught.value.found


@pytest.mark.parametrize(
    ("size", "mean", "std"),
    [
        (0, MEAN, STD),
        (5000, MEAN, STD),
        (224, MEAN, (0.2, 0.0, 0.2)),
        (224, MEAN, (0.2, float("nan"), 0.2)),
        (224, (float("inf"), 0.0, 0.0), STD),
    ],
)
def test_refuses_impossible_settings(
    size: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    with pytest.raises(OptionError):
        Preprocessing(size, mean, std)
