"""Squares of a picture: where FFHQ frames a face, cut out, and their maps put back in place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ftsdk.imaging.framing import UPRIGHT, Box, aligned_box, cut_out, place, united

ANGLES = st.floats(-180, 180)


def _boxes(most: int = 300) -> st.SearchStrategy[Box]:
    places = st.integers(-most // 3, most)
    return st.builds(Box, places, places, st.integers(8, most), ANGLES)


def _face(middle: tuple[float, float], size: float, tilt: float) -> list[np.ndarray]:
    """Return eyes and mouth of an upright face's proportions, turned by `tilt` degrees."""
    radians = np.deg2rad(tilt)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    places = np.array([[-0.12, -0.04], [0.12, -0.04], [0.0, 0.22]]) * size
    return list(places @ turn.T + middle)


@given(box=_boxes(), points=st.lists(st.tuples(*[st.floats(-500, 500)] * 2), min_size=1))
def test_points_go_to_the_picture_and_back(box: Box, points: list[tuple[float, float]]) -> None:
    there = np.array(points)
    assert np.allclose(box.from_picture(box.to_picture(there)), there, atol=1e-6)
    assert np.allclose(box.to_picture(box.from_picture(there)), there, atol=1e-6)


@given(box=_boxes())
def test_a_box_holds_its_own_middle_and_not_what_lies_a_side_away(box: Box) -> None:
    assert box.holds(box.middle)
    assert not box.holds((box.middle[0] + 1.5 * box.side, box.middle[1]))


@given(
    size=st.floats(30, 2000),
    tilt=st.floats(-UPRIGHT + 0.01, UPRIGHT - 0.01),
    quarter=st.sampled_from((0, 90, 180, -90)),
)
def test_a_nearly_upright_head_is_not_resampled(size: float, tilt: float, quarter: int) -> None:
    box = aligned_box(*_face((400, 300), size, quarter + tilt))
    assert box.angle in (quarter, quarter % 360 - 360 * (quarter < -90))


@given(size=st.floats(30, 2000), tilt=st.floats(UPRIGHT + 0.01, 90 - UPRIGHT - 0.01))
def test_a_tilted_head_is_turned_upright(size: float, tilt: float) -> None:
    for sign in (1, -1):
        box = aligned_box(*_face((400, 300), size, sign * tilt))
        assert box.angle == pytest.approx(sign * tilt, abs=1e-6)
        left, right, mouth = (
            box.from_picture(point[None])[0] for point in _face((400, 300), size, sign * tilt)
        )
        assert left[1] == pytest.approx(right[1], abs=1e-6)
        assert left[0] < mouth[0] < right[0]
        assert left[1] < mouth[1]


def test_the_frame_is_that_of_the_published_formula() -> None:
    left, right, mouth = np.array([[100.0, 120.0], [180.0, 120.0], [140.0, 210.0]])
    box = aligned_box(left, right, mouth)
    # Half a side is max(2 * 80, 1.8 * 90); the middle lies a tenth of 90 px below the eyes.
    assert box.side == 324
    assert box.middle == pytest.approx((140, 129), abs=0.51)
    assert box.angle == 0


def test_landmarks_in_one_place_make_a_box_nevertheless() -> None:
    assert aligned_box(*np.zeros((3, 2))) == Box(0, 0, 1)


@given(
    height=st.integers(16, 90),
    width=st.integers(16, 90),
    x=st.integers(-120, 120),
    y=st.integers(-120, 120),
    side=st.integers(1, 100),
)
def test_a_cut_out_repeats_the_border(height: int, width: int, x: int, y: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    found = cut_out(pixels, Box(x, y, side))
    assert found.shape == (side, side, 3)
    rows = np.clip(np.arange(y, y + side), 0, height - 1)
    columns = np.clip(np.arange(x, x + side), 0, width - 1)
    np.testing.assert_array_equal(found, pixels[rows[:, None], columns])


@given(quarters=st.integers(1, 3), x=st.integers(-9, 40), y=st.integers(-9, 40))
def test_a_quarter_turn_moves_pixels_and_changes_none(quarters: int, x: int, y: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    upright = cut_out(pixels, Box(x, y, 21))
    turned = cut_out(pixels, Box(x, y, 21, 90.0 * quarters))
    np.testing.assert_array_equal(turned, np.rot90(upright, quarters))


@given(box=_boxes(120), enlarged=st.integers(1, 3))
def test_a_turned_cut_out_shows_the_picture_at_its_points(box: Box, enlarged: int) -> None:
    assume(box.angle != 0)
    rows, columns = np.mgrid[0:200, 0:240]
    ramp = (rows * 3 + columns).astype(np.float32)
    size = box.side * enlarged
    found = cut_out(ramp, box, size)
    assert found.shape == (size, size)
    places = np.array([[size // 2, size // 3], [0, 0], [size - 1, size // 2]])
    where = box.to_picture((places + 0.5) * box.side / size) - 0.5
    inside = ((where > 2) & (where < (237, 197))).all(axis=1)
    expected = where[:, 1] * 3 + where[:, 0]
    assert np.allclose(found[places[:, 1], places[:, 0]][inside], expected[inside], atol=0.3)


@given(box=_boxes(120))
def test_a_mask_goes_into_a_face_and_back(box: Box) -> None:
    mask = np.zeros((200, 240), bool)
    mask[60:140, 70:150] = True
    inside = cut_out(mask, box)
    assert inside.dtype == bool
    back = place(inside.astype(np.float32), box, 200, 240)
    scale = back.shape[1] / 240
    rows, columns = ((np.argwhere(mask) + 0.5) * scale).astype(int).T
    middles = np.argwhere(mask)[:, ::-1] + 0.5
    covered = box.from_picture(middles)
    # Away from the edges of box and mask, whose pixels are of both sides.
    edge = 3 / scale
    well = ((covered > edge) & (covered < box.side - edge)).all(axis=1)
    well &= ((middles > (70 + edge, 60 + edge)) & (middles < (150 - edge, 140 - edge))).all(axis=1)
    assert (back[rows[well], columns[well]] > 0.5).all()
    outside = ~((covered > -edge) & (covered < box.side + edge)).all(axis=1)
    assert (back[rows[outside], columns[outside]] == 0).all()


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


@pytest.mark.parametrize("angle", [0.0, 33.0])
def test_a_tiny_face_in_a_huge_picture_stays_within_memory(angle: float) -> None:
    canvas = place(np.ones((192, 192), np.float32), Box(5000, 3000, 40, angle), 8000, 12000)
    assert max(canvas.shape) == 2048
    assert canvas.max() == pytest.approx(1, abs=1e-5)


def test_a_turned_face_of_a_picture_too_long_for_opencv_is_cut_out() -> None:
    pixels = np.zeros((64, 40_000, 3), np.uint8)
    pixels[:, 39_900:] = 255
    assert cut_out(pixels, Box(39_940, 10, 40, 30.0)).min() == 255


def test_united_maps_keep_the_most_of_each_and_the_finest_grid() -> None:
    left, right = np.zeros((40, 80), np.float32), np.zeros((20, 40), np.float32)
    left[10:20, 10:20], right[10:15, 30:35] = 0.9, 0.7
    both = united([right, left], [Box(120, 40, 20), Box(20, 20, 20)], 80, 160)
    assert both.shape == left.shape
    np.testing.assert_array_equal(both[:, :40], left[:, :40])
    assert both[25, 65] == np.float32(0.7)
    assert both.max() == np.float32(0.9)


@settings(max_examples=40)
@given(
    boxes=st.lists(_boxes(), min_size=1, max_size=4),
    height=st.integers(40, 300),
    width=st.integers(40, 300),
)
def test_united_maps_are_whole_maps_on_the_finest_grid(
    boxes: list[Box], height: int, width: int
) -> None:
    """What lies outside the boxes is not touched, and would change nothing."""
    random = np.random.default_rng(len(boxes))
    maps = [place(random.random((48, 48), np.float32), box, height, width) for box in boxes]
    shape = max(one.shape for one in maps)
    whole = [cv2.resize(one, shape[::-1]) if one.shape != shape else one for one in maps]
    found = united(maps, boxes, height, width)
    np.testing.assert_allclose(found, np.max(whole, axis=0), atol=1e-5)
