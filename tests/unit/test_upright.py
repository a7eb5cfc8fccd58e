"""Heads that lie on their side or upside down are turned upright."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from ftsdk import Analyzer
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.engines.contract import arrays
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.imaging.face_detector import Arrays, FaceDetector
from ftsdk.imaging.faces import MOST_FACES, FaceFramer
from ftsdk.imaging.upright import stands_upright, upright_frame
from ftsdk.manifest import stage_graph
from ftsdk.trust import NANO


class Looks:
    """nano's face detector, whose looks are counted."""

    def __init__(self) -> None:
        self._engine = OnnxRuntimeEngine(NANO / stage_graph(FACE_DETECTOR), threads=1)
        self.detector = FaceDetector(self._look)
        self.count = 0

    def _look(self, inputs: Arrays) -> Arrays:
        self.count += 1
        return arrays(self._engine.infer(dict(inputs)))


@pytest.fixture(scope="module")
def looks() -> Looks:
    return Looks()


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.mark.parametrize(("quarters", "angle"), [(1, -90), (2, 180), (3, 90)])
@pytest.mark.parametrize("tilt", [0, 20])
def test_a_head_that_lies_is_framed_as_if_it_stood(
    looks: Looks, astronaut: np.ndarray, quarters: int, angle: int, tilt: int
) -> None:
    tilted = cv2.warpAffine(astronaut, cv2.getRotationMatrix2D((223, 108), -tilt, 1), (512, 512))
    (standing,) = looks.detector(tilted)
    lying = np.ascontiguousarray(np.rot90(tilted, quarters))
    (face,) = looks.detector(lying)
    frame = upright_frame(lying, face, looks.detector)
    expected = standing.frame()
    assert abs((frame.angle - angle - expected.angle + 180) % 360 - 180) < 10
    assert frame.side == pytest.approx(expected.side, rel=0.1)
    x, y = expected.middle
    for _ in range(quarters):
        x, y = y, 512 - x
    assert np.hypot(frame.middle[0] - x, frame.middle[1] - y) < 0.06 * frame.side


def test_a_head_that_stands_takes_no_second_look(looks: Looks, astronaut: np.ndarray) -> None:
    (face,) = looks.detector(astronaut)
    before = looks.count
    assert upright_frame(astronaut, face, looks.detector) == face.frame()
    assert looks.count == before


def test_a_head_that_stands_in_no_turn_keeps_its_frame(looks: Looks, astronaut: np.ndarray) -> None:
    (face,) = looks.detector(np.ascontiguousarray(np.rot90(astronaut)))
    assert not stands_upright(face)
    assert upright_frame(np.zeros_like(astronaut), face, looks.detector) == face.frame()


def test_of_a_crowd_that_lies_only_those_that_are_analysed_are_looked_at_again(
    looks: Looks, astronaut: np.ndarray
) -> None:
    head = cv2.resize(astronaut[:260, 90:350], (120, 120), interpolation=cv2.INTER_AREA)
    crowd = np.tile(np.rot90(head), (5, 5, 1))
    before = looks.count
    lying = [face for face in looks.detector(crowd) if not stands_upright(face)]
    search = looks.count - before
    assert len(lying) > MOST_FACES
    boxes = FaceFramer(looks.detector, size=384, smallest=1).boxes(crowd)
    assert looks.count - before == 2 * search + MOST_FACES
    assert sum(box.angle == -90 for box in boxes) >= MOST_FACES - 2


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_forged_head_is_found_as_it_lies(quarters: int) -> None:
    forged = cv2.imread("examples/pictures/portrait_forged.jpg")
    with Analyzer(threads=1) as analyzer:
        standing = analyzer.analyze(forged, report=False)
        lying = analyzer.analyze(np.ascontiguousarray(np.rot90(forged, quarters)), report=False)
    assert standing.score is not None
    assert lying.score is not None
    assert lying.score >= lying.score_threshold
    turned = np.rot90(standing.mask, quarters)
    both = (turned & lying.mask).sum() / (turned | lying.mask).sum()
    assert both > 0.6
