from __future__ import annotations

import numpy as np
import pytest

from ft_forge.geometry import Geometry
from ft_forge.labels import LABELS, label_names, labels_from_mask
from tests.unit.forge.forge_faces import SIDE, landmarks


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    return Geometry(landmarks(), (SIDE, SIDE))


def names(mask: np.ndarray, geometry: Geometry) -> list[str]:
    return label_names(labels_from_mask(mask, geometry))


def test_one_eye_is_enough_for_its_label(geometry: Geometry) -> None:
    assert names(geometry.hull("left_eye", 0.03), geometry) == ["eye", "pupil"]


def test_the_nose_alone(geometry: Geometry) -> None:
    assert names(geometry.hull("nose", 0.0), geometry) == ["nose"]


def test_the_whole_face_sets_every_located_part(geometry: Geometry) -> None:
    found = names(geometry.hull("face_oval", 0.0), geometry)
    assert {"eye", "lip", "mouth", "nose", "cheek", "eyebrow", "skin"} <= set(found)
    assert not {"hair", "ear", "beard"} & set(found)


def test_an_empty_mask_sets_nothing(geometry: Geometry) -> None:
    assert names(np.zeros((SIDE, SIDE), bool), geometry) == []


def test_a_small_patch_on_the_face_is_skin_and_beside_it_nothing(geometry: Geometry) -> None:
    patch = np.zeros((SIDE, SIDE), bool)
    x, y = (geometry.points.mean(0) + np.array([0, 0.22 * SIDE])).astype(int)
    patch[y : y + 6, x : x + 6] = True
    assert names(patch, geometry) == ["skin"]
    patch[:] = False
    patch[:6, :6] = True
    assert names(patch, geometry) == []


def test_labels_have_the_published_order() -> None:
    assert len(LABELS) == 21
    assert LABELS[:3] == ("eye", "pupil", "lip")
    assert LABELS[-1] == "dimple"
