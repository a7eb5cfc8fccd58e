"""What of a picture a model is to look at: all of it, or each of its faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.imaging.faces import (
    MOST_FACES,
    FaceFramer,
    WholeFramer,
    frame_boxes,
    frame_whole,
    make_framer,
)
from ftsdk.imaging.framing import Box, cut_out
from tests import tiny_bundle

SIZE = 384


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def framer() -> FaceFramer:
    framer = Analyzer(device="cpu").chain.framer
    assert isinstance(framer, FaceFramer)
    return framer


def test_a_face_is_framed_as_ffhq_does(framer: FaceFramer, astronaut: np.ndarray) -> None:
    framed = framer(astronaut)
    assert framed.box is not None
    assert framed.notes == ()
    eyes = (np.array([[205, 108], [241, 108]]) - [framed.box.x, framed.box.y]) / framed.box.side
    assert np.abs(eyes - [[0.38, 0.47], [0.62, 0.47]]).max() < 0.06
    np.testing.assert_array_equal(framed.pixels, cut_out(astronaut, framed.box))


def test_an_aligned_picture_is_taken_whole(framer: FaceFramer, astronaut: np.ndarray) -> None:
    box = framer.boxes(astronaut)[0]
    framed = framer(cut_out(astronaut, box))
    assert framed.box is None
    assert framed.pixels.shape == (box.side, box.side, 3)


def test_a_model_of_whole_pictures_never_crops(tmp_path: Path, astronaut: np.ndarray) -> None:
    manifest = open_bundle(tiny_bundle.write(tmp_path)).manifest
    framer = make_framer(manifest, lambda _: pytest.fail("no face is looked for"))
    assert framer is frame_whole
    assert framer(astronaut).box is None


def test_a_model_of_whole_pictures_may_need_a_face_in_them(
    framer: FaceFramer, astronaut: np.ndarray
) -> None:
    whole = WholeFramer(framer.detector)
    assert whole(astronaut).pixels is astronaut
    assert whole(astronaut).box is None
    assert whole(astronaut).face_side == framer.boxes(astronaut)[0].side
    assert whole(np.zeros((300, 400, 3), np.uint8)).face_side is None


def test_no_face_is_said(framer: FaceFramer) -> None:
    framed = framer(np.full((300, 400, 3), 128, np.uint8))
    assert framed.box is None
    assert framed.face_side is None


def test_each_of_several_faces_is_framed_the_largest_first(
    framer: FaceFramer, astronaut: np.ndarray
) -> None:
    small = cv2.resize(astronaut, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    couple = np.full((512, 900, 3), 128, np.uint8)
    couple[:, :512] = astronaut
    couple[100 : 100 + small.shape[0], 560 : 560 + small.shape[1]] = small
    framed = framer(couple)
    assert framed.box is not None
    assert len(framed.others) == 1
    other = framed.others[0].box
    assert other is not None
    assert framed.box.x < 400 < other.x
    assert other.side == pytest.approx(0.6 * framed.box.side, rel=0.1)
    for face in (framed, *framed.others):
        assert "2 faces" in face.notes[0]


def test_a_turned_head_is_enlarged_in_one_step_and_never_shrunk(astronaut: np.ndarray) -> None:
    for side in (100, 500):
        framed = frame_boxes(astronaut, [Box(20, 10, side, 30.0)], SIZE, MOST_FACES)
        assert framed.pixels.shape == (max(side, SIZE), max(side, SIZE), 3)


def test_of_a_crowd_the_largest_are_framed(astronaut: np.ndarray) -> None:
    boxes = [Box(10 * index, 0, 200 - index) for index in range(MOST_FACES + 4)]
    framed = frame_boxes(astronaut, boxes, SIZE, MOST_FACES)
    assert [face.box for face in (framed, *framed.others)] == boxes[:MOST_FACES]
    assert f"the {MOST_FACES} largest were" in framed.notes[0]


def test_faces_below_the_smallest_are_left_out_and_said(
    framer: FaceFramer, astronaut: np.ndarray
) -> None:
    large, small = Box(150, 32, 151), Box(10, 300, 63)
    framed = framer.frame(astronaut, [large, small], MOST_FACES)
    assert framed.box == large
    assert framed.others == ()
    assert framed.notes == ("1 more face was found, too small to be analysed.",)
    alone = framer.frame(astronaut, [small], MOST_FACES)
    assert (alone.box, alone.face_side) == (small, 63)


def test_a_small_face_is_said(framer: FaceFramer, astronaut: np.ndarray) -> None:
    small = cv2.resize(astronaut, (240, 240), interpolation=cv2.INTER_AREA)
    canvas = np.full((600, 900, 3), 128, np.uint8)
    canvas[100:340, 200:440] = small
    framed = framer(canvas)
    assert framed.box is not None
    assert "px across" in framed.notes[-1]
