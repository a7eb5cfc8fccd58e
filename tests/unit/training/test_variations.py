from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_forge import FaceSet, Forge
from ft_training.variations import VariedFaces, draw_variation
from ftsdk.imaging.framing import cut_out
from tests.unit.forge.forge_faces import landmarks, write_faces, write_regenerated

SIDE = 192


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("people")
    write_faces(path)
    return path


@given(st.integers(0, 500))
def test_points_stay_on_what_they_mark(seed: int) -> None:
    rng = np.random.default_rng(seed)
    variation = replace(draw_variation((160, 200), landmarks(), rng), occluder=None)
    middle = np.array([[110.0, 70.0]])
    spot = np.zeros((160, 200, 3), np.uint8)
    cv2.circle(spot, (110, 70), 3, (200, 200, 200), -1)
    seen = variation.image(spot)[..., 0].astype(float)
    y, x = np.argwhere(seen > 0.8 * seen.max()).mean(0)
    assert variation.points(middle)[0] == pytest.approx([x, y], abs=1.0)


def test_some_pictures_are_left_as_they_are_and_the_rest_vary() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    points = landmarks() / 3
    drawn = [draw_variation((64, 64), points, np.random.default_rng(seed)) for seed in range(300)]
    same = [one for one in drawn if np.array_equal(one.image(image), image)]
    assert 0.3 < len(same) / len(drawn) < 0.6
    assert len({one.image(image).tobytes() for one in drawn}) > 100


def test_a_person_varies_alike_within_a_turn_and_anew_in_the_next(folder: Path) -> None:
    faces, plain = VariedFaces(folder), FaceSet(folder)
    edits = [entry for entry in faces.entries if entry.attribute]
    base, other = edits[:2]
    assert base.identity == other.identity
    seen = set()
    for number in range(12):
        faces.turn(number)
        first, second = faces.load(base), faces.load(other)
        moved = second.geometry.points - plain.load(other).geometry.points
        assert np.allclose(first.geometry.points - plain.load(base).geometry.points, moved, atol=2)
        assert np.array_equal(first.image, faces.load(base).image)
        seen.add(first.image.tobytes())
    assert len(seen) > 4


def test_a_forged_face_keeps_its_landmarks_and_its_original(folder: Path) -> None:
    faces = VariedFaces(folder)
    forge = Forge(faces, faces.entries, {"part_swap": 1.0}, seed=2)
    for number in range(8):
        faces.turn(number)
        made = forge.make(number)
        outside = ~cv2.dilate(made.mask.astype(np.uint8), np.ones((41, 41))).astype(bool)
        assert np.array_equal(made.image[outside], made.face.image[outside])
        inside = made.face.geometry.hull("face_oval", 0.1)
        assert (made.mask & inside).sum() > 0.9 * made.mask.sum()


def test_what_was_regenerated_varies_with_its_face(tmp_path: Path) -> None:
    write_faces(tmp_path, 2)
    write_regenerated(
        tmp_path, lambda plain, entry, box: cut_out(plain.load(entry).image, box, box.side)
    )
    faces = VariedFaces(tmp_path)
    for number in range(10):
        faces.turn(number)
        face = faces.load(faces.entries[number % len(faces.entries)])
        made = faces.regenerated.of(face.file, face.image, np.random.default_rng(number))
        assert made is not None
        # It was regenerated as it is, so nothing is to be seen of it but a second interpolation.
        assert np.abs(made.astype(int) - face.image).mean() < 2.5


def test_now_and_then_something_stands_before_a_face_that_is_resampled() -> None:
    drawn = [
        draw_variation((192, 192), landmarks(), np.random.default_rng(seed)) for seed in range(600)
    ]
    occluded = [one for one in drawn if one.occluder is not None]
    assert 0.06 < len(occluded) / len(drawn) < 0.13
    assert all(one.matrix is not None for one in occluded)


def test_an_edited_level_shows_the_same_object_as_its_base(folder: Path) -> None:
    faces = VariedFaces(folder)
    base, other = [entry for entry in faces.entries if entry.attribute][:2]
    for number in range(60):
        faces.turn(number)
        faces.load(base)
        faces.load(other)
        variations = [faces.regenerated.plain[one.file][1] for one in (base, other)]
        assert variations[0] is variations[1]
