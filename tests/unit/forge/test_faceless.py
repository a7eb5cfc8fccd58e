from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_forge import FaceSet, Forge
from ft_forge.faceless import laid_on, write_faceless
from ft_forge.framing import face_box
from ft_training.batches import view
from ft_training.views import SIDE
from tests.unit.forge.forge_faces import landmarks, write_faces


@pytest.fixture(scope="module")
def faceless(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    path = tmp_path_factory.mktemp("pictures")
    write_faces(path)
    photos, things = path / "photos", path / "things"
    index = []
    rng = np.random.default_rng(0)
    for folder in (photos, things):
        folder.mkdir()
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            few = rng.integers(0, 256, (12, 16, 3), np.uint8)
            cv2.imwrite(str(folder / name), cv2.resize(few, (400, 300)))
    for name, kind, split in (
        ("a.jpg", "scene", "train"), ("b.jpg", "scene", "validation"), ("c.jpg", "face", "train"),
    ):  # fmt: skip
        index.append({"file": name, "kind": kind, "split": split, "source": "here"})
    (photos / "index.json").write_text(json.dumps(index))
    cv2.imwrite(str(things / "small.png"), np.zeros((80, 300, 3), np.uint8))
    (things / "broken.jpg").write_bytes(b"no picture")
    assert write_faceless(path / "out", path, [photos, things]) == 4
    return FaceSet(path / "out")


def test_scenes_of_the_training_half_and_plain_folders_are_taken(faceless: FaceSet) -> None:
    names = [entry.identity for entry in faceless.entries]
    assert names == ["here/a.jpg", "things/a.jpg", "things/b.jpg", "things/c.jpg"]
    assert all(entry.faceless and entry.split == "train" for entry in faceless.entries)


def test_a_forgery_without_a_face_has_a_mask_and_no_part_of_a_face(faceless: FaceSet) -> None:
    forge = Forge(faceless, faceless.split()[0], {"self_blend": 1.0, "part_swap": 1.0}, seed=3)
    for number in range(4):
        made = forge.make(number)
        assert made.face.faceless
        forged, original = view(made, (True, False), SIDE, np.random.default_rng(number))
        assert forged.whole.mask.max() > 0.5
        assert original.whole.mask.max() == 0
        assert not forged.whole.labels.any()
        assert not forged.whole.maps.any()


@given(st.integers(0, 300), st.integers(160, 900), st.integers(160, 900))
def test_landmarks_are_laid_where_the_picture_is(seed: int, width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    box = face_box(laid_on(landmarks(), image, np.random.default_rng(seed)))
    assert 0.8 * 150 - 1 <= box.side <= 481
    assert 0 <= box.middle[0] <= width
    assert 0 <= box.middle[1] <= height
