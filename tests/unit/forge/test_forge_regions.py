from __future__ import annotations

import cv2
import numpy as np
import pytest

from ft_forge import regions
from ft_forge.geometry import Geometry
from ft_forge.regions import face_area, face_frame
from ft_forge.self_blend import blending_area
from tests.unit.forge.forge_faces import SIDE, landmarks


def turned(degrees: float) -> Geometry:
    points = landmarks()
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, 0.8)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return Geometry(moved.astype(np.float32), (SIDE, SIDE))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("degrees", [0, 25, -60, 170])
def test_a_frame_is_a_rectangle_that_is_turned_with_the_face(degrees: float, seed: int) -> None:
    frame = face_frame(turned(degrees), np.random.default_rng(seed))
    (outline,), _ = cv2.findContours(
        frame.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    _, (width, height), angle = cv2.minAreaRect(outline)
    assert frame.sum() == pytest.approx((width + 1) * (height + 1), rel=0.05)
    assert min((angle + degrees) % 90, -(angle + degrees) % 90) < 2


@pytest.mark.parametrize("seed", range(12))
def test_a_frame_holds_the_mouth_and_the_eyes_or_neither_eye(seed: int) -> None:
    geometry = turned(30)
    frame = face_frame(geometry, np.random.default_rng(seed))

    def held(part: str) -> bool:
        x, y = np.round(geometry.part_points(part).mean(0)).astype(int)
        return bool(frame[y, x])

    assert held("lip")
    assert held("left_eye") == held("right_eye")


def test_some_frames_hold_the_eyes_and_others_only_the_lower_half() -> None:
    geometry, rng = turned(0), np.random.default_rng(3)
    x, y = np.round(geometry.part_points("left_eye").mean(0)).astype(int)
    eyes = [bool(face_frame(geometry, rng)[y, x]) for _ in range(100)]
    assert 40 <= sum(eyes) <= 80


@pytest.mark.parametrize("framed", [0.0, 1.0])
def test_a_replaced_face_has_the_outline_of_a_face_or_of_a_frame(
    framed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions, "FRAMED", framed)
    monkeypatch.setattr("ft_forge.self_blend.FRAMED", framed)
    geometry = turned(0)
    for seed in range(10):
        area = face_area(geometry, np.random.default_rng(seed))
        soft = blending_area(geometry, np.random.default_rng(seed)) > 0.5
        for mask in (area, soft):
            x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
            filled = mask[y : y + h, x : x + w].mean()
            assert (filled > 0.95) == bool(framed), (seed, filled)
