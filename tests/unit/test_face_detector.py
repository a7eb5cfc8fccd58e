"""Finding faces: the graph's grid read, one face told once, and real pictures."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ftsdk.consistency import FACE_DETECTOR, FACE_INPUT
from ftsdk.engines.contract import arrays
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.imaging.face_detector import SIDE, Face, FaceDetector, distinct, read_faces, same_face
from ftsdk.imaging.framing import Box
from ftsdk.manifest import stage_graph
from ftsdk.trust import NANO

GRID = SIDE // 4
#: The astronaut's eyes in the 512 px portrait.
EYES = np.array([[205, 108], [241, 108]])
UPRIGHT = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def _face(left: float, top: float, size: float, likelihood: float) -> Face:
    marks = (UPRIGHT * size + (left, top)).astype(np.float32)
    return Face((left, top, left + size, top + size), marks, likelihood, wider=1.0)


FACES = st.lists(
    st.builds(_face, *[st.floats(-50, 300)] * 2, st.floats(4, 300), st.floats(0.6, 1)), max_size=12
)


@given(faces=FACES)
def test_what_is_kept_is_distinct_and_what_is_dropped_is_not(faces: list[Face]) -> None:
    kept = distinct(faces)
    boxes = np.array([face.box for face in kept]).reshape(-1, 4)
    for index in range(1, len(kept)):
        assert not same_face(boxes[index], boxes[:index]).any()
        assert kept[index - 1].likelihood >= kept[index].likelihood
    for face in faces:
        if not any(face is one for one in kept):
            likelier = [one.likelihood >= face.likelihood for one in kept]
            assert same_face(np.array(face.box), boxes)[likelier].any()
    assert len(distinct(kept)) == len(kept)


@given(faces=FACES, order=st.randoms())
def test_the_order_of_faces_changes_nothing(faces: list[Face], order: object) -> None:
    unlike = list({face.likelihood: face for face in faces}.values())
    shuffled = list(unlike)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert [face.box for face in distinct(shuffled)] == [face.box for face in distinct(unlike)]


def test_a_face_within_a_face_is_none_and_one_beside_it_is() -> None:
    whole, inner = _face(0, 0, 100, 0.9), _face(30, 30, 40, 0.7)
    beside, behind = _face(105, 0, 100, 0.8), _face(80, -30, 50, 0.65)
    assert distinct([inner, behind, whole, beside]) == [whole, beside, behind]


@given(
    left=st.floats(0, 200),
    top=st.floats(0, 200),
    size=st.floats(12, 110),
    scale=st.floats(0.05, 1),
    corner=st.tuples(*[st.sampled_from((0, 256))] * 2),
)
def test_the_grid_is_read_as_it_is_written(
    left: float, top: float, size: float, scale: float, corner: tuple[int, int]
) -> None:
    (found,) = read_faces(_written(left, top, size), corner, scale, lambda height: 1 + height)
    moved = np.array([left, top]) + corner
    expected = np.concatenate([moved, moved + size]) / scale
    assert np.allclose(found.box, expected, rtol=1e-4, atol=0.01 / scale)
    marks = (UPRIGHT * size + (left, top) + corner) / scale
    assert np.allclose(found.landmarks, marks, rtol=1e-4, atol=0.01 / scale)
    assert found.likelihood == pytest.approx(0.9)
    assert found.wider == pytest.approx(1 + size, rel=1e-4)


def _written(left: float, top: float, size: float) -> Mapping[str, NDArray[np.float32]]:
    """Return the graph's outputs for one face of its input."""
    outputs = {
        "face_likelihood": np.zeros((1, GRID, GRID), np.float32),
        "face_size": np.zeros((2, GRID, GRID), np.float32),
        "face_offset": np.zeros((2, GRID, GRID), np.float32),
        "face_landmarks": np.zeros((10, GRID, GRID), np.float32),
    }
    middle = np.array([top, left]) / 4 + size / 8
    row, column = place = middle.astype(int)
    outputs["face_likelihood"][0, row, column] = 0.9
    # A place beside the peak is as likely as faces go, and of the same face.
    outputs["face_likelihood"][0, row - 1, column] = 0.7
    outputs["face_size"][:] = np.log(size / 4)
    outputs["face_offset"][:, row, column] = middle - place - 0.5
    outputs["face_landmarks"][:, row, column] = UPRIGHT[:, ::-1].reshape(-1)
    return outputs


def test_landmarks_that_mean_no_face_leave_its_box() -> None:
    face = _face(100, 100, 80, 0.9)
    lost = Face(face.box, np.full((5, 2), 105, np.float32), 0.9, 1.0)
    frame = lost.frame()
    assert frame.angle == 0
    assert frame.holds((140, 140))
    assert 80 < frame.side < 130


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    engine = OnnxRuntimeEngine(NANO / stage_graph(FACE_DETECTOR), threads=1)
    return FaceDetector(lambda inputs: arrays(engine.infer(inputs)))


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


def test_the_eyes_are_where_they_are(detector: FaceDetector, astronaut: np.ndarray) -> None:
    (face,) = detector(astronaut)
    assert np.abs(face.landmarks[:2] - EYES).max() < 8


@pytest.mark.parametrize("size", [120, 200, 256, 1024])
def test_a_face_is_found_at_any_size(
    detector: FaceDetector, astronaut: np.ndarray, size: int
) -> None:
    scaled = cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA)
    (face,) = detector(scaled)
    assert np.abs(face.landmarks[:2] / size - EYES / 512).max() < 0.02


@pytest.mark.parametrize("degrees", [-40, -25, 25, 40])
def test_a_tilted_head_is_turned_upright(
    detector: FaceDetector, astronaut: np.ndarray, degrees: int
) -> None:
    turn = cv2.getRotationMatrix2D((223, 108), -degrees, 1)
    (face,) = detector(cv2.warpAffine(astronaut, turn, (512, 512)))
    frame = face.frame()
    assert frame.angle * degrees > 0
    assert abs(frame.angle - degrees) < 20


def test_small_faces_are_found_at_the_second_look(
    detector: FaceDetector, astronaut: np.ndarray
) -> None:
    small = cv2.resize(astronaut, (180, 180), interpolation=cv2.INTER_AREA)
    canvas = np.full((900, 1280, 3), 128, np.uint8)
    places = [(100, 200), (1100, 700), (620, 350)]
    for x, y in places:
        canvas[y : y + 180, x : x + 180] = small
    found = detector(canvas)
    eyes = sorted(tuple(face.landmarks[0]) for face in found)
    expected = sorted((x + 205 * 180 / 512, y + 108 * 180 / 512) for x, y in places)
    assert np.abs(np.array(eyes) - expected).max() < 6


def test_no_more_is_looked_at_than_it_takes(detector: FaceDetector, astronaut: np.ndarray) -> None:
    sizes: list[tuple[int, ...]] = []

    def infer(inputs: Mapping[str, NDArray[np.float32]]) -> Mapping[str, NDArray[np.float32]]:
        sizes.append(inputs[FACE_INPUT].shape[2:])
        return detector._infer(inputs)

    watched = FaceDetector(infer)
    canvas = np.zeros((512, 1280, 3), np.uint8)
    canvas[:400, :400] = cv2.resize(astronaut, (400, 400), interpolation=cv2.INTER_AREA)
    far = np.zeros((512, 1280, 3), np.uint8)
    far[100:280, 600:780] = cv2.resize(astronaut, (180, 180), interpolation=cv2.INTER_AREA)
    parts = [(320, 320), (320, 320), (320, 320), (96, 320), (96, 320), (96, 320)]
    for picture, looks in (
        (astronaut, [(192, 192)]),
        (astronaut[40:220, 80:380], [(128, 192)]),
        (canvas, [(96, 192), (128, 320), *parts]),
        (far, [(96, 192), (128, 320), *parts]),
    ):
        sizes.clear()
        assert len(watched(picture)) == 1
        assert sizes == looks


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_a_close_look_frames_as_a_closer_one(
    detector: FaceDetector, astronaut: np.ndarray, scale: float
) -> None:
    close = cv2.resize(astronaut[30:230, 123:323], None, fx=scale, fy=scale)
    (near,), (small,) = detector(close), detector(astronaut)
    frame, expected = near.frame(), small.frame()
    assert frame.side / scale == pytest.approx(expected.side, rel=0.08)
    middle = np.array(frame.middle) / scale + (123, 30)
    assert np.abs(middle - expected.middle).max() < 0.04 * expected.side


def test_a_face_is_found_near_where_it_was(detector: FaceDetector, astronaut: np.ndarray) -> None:
    (face,) = detector(astronaut)
    box = face.frame()
    for step in (0, 30, -30):
        (near,) = detector.near(np.roll(astronaut, (step, step), axis=(0, 1)), box)
        assert np.abs(near.landmarks - face.landmarks - step).max() < 0.04 * box.side
    assert detector.near(astronaut, Box(20, 300, 60)) == []
    assert detector.near(astronaut, Box(-900, 600, 60)) == []


@pytest.mark.parametrize("shape", [(16, 16), (16, 5000), (3000, 20), (16, 65_535), (400, 300)])
def test_where_nothing_is_there_is_no_face(detector: FaceDetector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert detector(noise) == []
    assert detector(np.full((*shape, 3), 255, np.uint8)) == []


def test_pictures_in_a_batch_are_read_as_alone() -> None:
    engine = OnnxRuntimeEngine(NANO / stage_graph(FACE_DETECTOR), threads=1)
    values = np.random.default_rng(0).uniform(0, 255, (3, 3, SIDE, SIDE)).astype(np.float32)
    together = arrays(engine.infer({FACE_INPUT: values}))
    for index in range(3):
        for name, value in arrays(engine.infer({FACE_INPUT: values[index : index + 1]})).items():
            assert np.allclose(together[name][index], value[0], atol=1e-4)
