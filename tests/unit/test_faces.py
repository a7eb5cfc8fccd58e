"""Finding faces, cutting them out, and putting their maps back in place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.imaging.faces import (
    Box,
    _distinct,
    cut_out,
    find_face_near,
    find_faces,
    frame,
    place,
    united,
)

#: The astronaut's eyes in the 512 px portrait.
EYES = np.array([[205, 108], [241, 108]])


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


def test_a_face_is_framed_as_the_model_was_trained(astronaut: np.ndarray) -> None:
    framed = frame(astronaut, "face")
    assert framed.box is not None
    assert framed.notes == ()
    eyes = (EYES - [framed.box.x, framed.box.y]) / framed.box.side
    assert np.abs(eyes - [[0.38, 0.47], [0.62, 0.47]]).max() < 0.06


def test_the_face_of_a_picture_at_half_its_size_is_found(astronaut: np.ndarray) -> None:
    (whole,) = find_faces(astronaut)
    (half,) = find_faces(cv2.resize(astronaut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    places = np.array([[box.x, box.y, box.side] for box in (whole, half)])
    assert np.abs(2 * places[1] - places[0]).max() < 0.05 * whole.side


@pytest.mark.parametrize("step", [0, 6, -9])
def test_a_face_that_moved_is_found_near_its_last_place(astronaut: np.ndarray, step: int) -> None:
    box = find_faces(astronaut)[0]
    near = find_face_near(np.roll(astronaut, (step, 2 * step), axis=(0, 1)), box)
    assert near is not None
    assert abs(near.x - box.x - 2 * step) < 0.05 * box.side
    assert abs(near.y - box.y - step) < 0.05 * box.side
    assert abs(near.side / box.side - 1) < 0.1


def test_no_face_is_found_near_where_none_is(astronaut: np.ndarray) -> None:
    assert find_face_near(astronaut, Box(0, 350, 150)) is None
    assert find_face_near(astronaut, Box(600, 600, 150)) is None


def test_an_aligned_picture_is_taken_whole(astronaut: np.ndarray) -> None:
    box = find_faces(astronaut)[0]
    framed = frame(cut_out(astronaut, box), "face")
    assert framed.box is None
    assert framed.pixels.shape == (box.side, box.side, 3)


def test_the_published_framing_never_crops(astronaut: np.ndarray) -> None:
    assert frame(astronaut, "picture").box is None


def test_no_face_is_said() -> None:
    framed = frame(np.full((300, 400, 3), 128, np.uint8), "face")
    assert framed.box is None
    assert "No face was found" in framed.notes[0]


@pytest.fixture(scope="module")
def couple(astronaut: np.ndarray) -> np.ndarray:
    """The astronaut twice, the right one smaller."""
    small = cv2.resize(astronaut, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    canvas = np.full((512, 900, 3), 128, np.uint8)
    canvas[:, :512] = astronaut
    canvas[100 : 100 + small.shape[0], 560 : 560 + small.shape[1]] = small
    return canvas


def test_each_of_several_faces_is_framed_the_largest_first(couple: np.ndarray) -> None:
    framed = frame(couple, "face")
    assert framed.box is not None
    assert len(framed.others) == 1
    other = framed.others[0].box
    assert other is not None
    assert framed.box.x < 400 < other.x
    assert other.side == pytest.approx(0.6 * framed.box.side, rel=0.1)
    for face in (framed, *framed.others):
        assert "2 faces" in face.notes[0]
        assert face.box is not None
        assert np.array_equal(face.pixels, cut_out(couple, face.box))


def test_a_face_within_a_face_is_none(astronaut: np.ndarray) -> None:
    box = find_faces(astronaut)[0]
    inner = Box(box.x + box.side // 4, box.y + box.side // 4, box.side // 2)
    beside = Box(box.x + box.side, box.y, box.side // 2)
    assert _distinct([box, inner, beside]) == [box, beside]


def test_united_maps_keep_the_most_of_each_and_the_finest_grid() -> None:
    left, right = np.zeros((40, 80), np.float32), np.zeros((20, 40), np.float32)
    left[10:20, 10:20], right[10:15, 30:35] = 0.9, 0.7
    both = united([right, left])
    assert both.shape == left.shape
    np.testing.assert_array_equal(both[:, :40], left[:, :40])
    assert both[25, 65] == np.float32(0.7)
    assert both.max() == np.float32(0.9)


def test_a_small_face_is_said(astronaut: np.ndarray) -> None:
    small = cv2.resize(astronaut, (280, 280), interpolation=cv2.INTER_AREA)
    canvas = np.full((600, 900, 3), 128, np.uint8)
    canvas[100:380, 200:480] = small
    framed = frame(canvas, "face")
    assert framed.box is not None
    assert "px across" in framed.notes[-1]


@given(
    height=st.integers(16, 90),
    width=st.integers(16, 90),
    x=st.integers(-30, 80),
    y=st.integers(-30, 80),
    side=st.integers(1, 100),
)
def test_a_cut_out_repeats_the_border(height: int, width: int, x: int, y: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    found = cut_out(pixels, Box(x, y, side))
    assert found.shape == (side, side, 3)
    row, column = side // 2, side - 1
    source = pixels[np.clip(y + row, 0, height - 1), np.clip(x + column, 0, width - 1)]
    assert (found[row, column] == source).all()


@given(
    height=st.integers(16, 400),
    width=st.integers(16, 400),
    x=st.integers(-20, 300),
    y=st.integers(-20, 300),
    side=st.integers(8, 300),
)
def test_a_placed_map_lies_in_its_box_alone(
    height: int, width: int, x: int, y: int, side: int
) -> None:
    canvas = place(np.ones((32, 32), np.float32), Box(x, y, side), height, width)
    scale = 32 / side
    assert max(canvas.shape) <= 2048
    rows, columns = np.nonzero(canvas)
    if len(rows):
        assert rows.min() / scale >= y - 1 / scale
        assert rows.max() / scale <= y + side + 1 / scale
        assert columns.min() / scale >= x - 1 / scale
        assert columns.max() / scale <= x + side + 1 / scale
    visible = max(0, min(y + side, height) - max(y, 0)) * max(0, min(x + side, width) - max(x, 0))
    assert abs(canvas.sum() / scale**2 - visible) <= (height + width + 2 * side) / scale + 4


def test_a_whole_picture_keeps_its_map() -> None:
    probabilities = np.random.default_rng(0).random((32, 32), np.float32)
    assert place(probabilities, None, 100, 200) is probabilities


def test_a_tiny_face_in_a_huge_picture_stays_within_memory() -> None:
    canvas = place(np.ones((192, 192), np.float32), Box(5000, 3000, 40), 8000, 12000)
    assert max(canvas.shape) == 2048


@pytest.mark.parametrize("shape", [(16, 7200, 3), (7200, 16, 3), (16, 65_535, 3)])
def test_a_strip_holds_no_face(shape: tuple[int, int, int]) -> None:
    assert find_faces(np.full(shape, 120, np.uint8)) == []
