from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_forge import FaceSet, Forge
from ft_forge.framing import face_box
from ft_forge.geometry import PARTS
from ft_forge.photographs import MOST_PX, crop_face, is_grey, write_crops
from tests.unit.forge.forge_faces import SIDE, landmarks


def _photograph(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture whose face lies in its middle, bright at the nose's landmarks."""
    points = landmarks() * scale + 100
    image = np.full((round(SIDE * scale) + 200, round(SIDE * scale) + 200, 3), 90, np.uint8)
    cv2.circle(image, [round(float(v)) for v in points[1]], 5, (255, 255, 255), -1)
    return image, points


@given(st.floats(0.5, 2.0), st.floats(-3.1, 3.1), st.floats(-40, 40), st.floats(-40, 40))
def test_the_square_moves_with_the_face(scale: float, turn: float, x: float, y: float) -> None:
    still = face_box(landmarks())
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = face_box(landmarks() @ matrix.T + [x, y])
    assert moved.middle == pytest.approx(matrix @ still.middle + [x, y], abs=1.5)
    assert moved.side == pytest.approx(scale * still.side, abs=1.5)


def test_the_square_of_an_upright_face_by_hand() -> None:
    points = np.zeros((478, 2), np.float32)
    points[PARTS["right_eye"]], points[PARTS["left_eye"]] = [100.0, 50.0], [140.0, 50.0]
    points[[61, 291]] = [[104, 110], [136, 110]]
    box = face_box(points)
    assert box.middle == pytest.approx([120, 56])  # a tenth of the way from the eyes to the mouth
    assert (box.side, box.angle) == (2 * 1.8 * 60, 0)  # the longer of 2 x 40 and 1.8 x 60


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_a_crop_keeps_the_pixels_or_shrinks_them_with_the_landmarks(scale: float) -> None:
    image, points = _photograph(scale)
    crop, moved = crop_face(image, points.astype(np.float32))
    x, y = (round(float(v)) for v in moved[1])
    assert crop[y, x].min() > 200
    assert max(crop.shape[:2]) <= MOST_PX
    if scale == 1.0:
        shift = (points - moved)[0].round().astype(int)
        assert not (shift % 16).any()
        cut = image[shift[1] :, shift[0] :][: crop.shape[0], : crop.shape[1]]
        assert np.array_equal(cut, crop)


def test_photographs_become_a_face_folder_and_bad_files_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    image, points = _photograph()
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(photos / name), image)
    (photos / "broken.jpg").write_bytes(b"no picture")
    index = [
        {"file": file, "person": file[0], "source": "here", "split": split}
        for file, split in (("a.jpg", "train"), ("broken.jpg", "train"), ("b.jpg", "validation"))
    ]
    (photos / "index.json").write_text(json.dumps(index))
    np.savez(photos / "landmarks.npz", file_index=np.arange(3), points=np.array([points] * 3))
    assert write_crops(tmp_path / "faces", [photos]) == 2
    assert "broken.jpg" in capsys.readouterr().err
    faces = FaceSet(tmp_path / "faces")
    train, validation = faces.split()
    assert [entry.identity for entry in train] == ["here/a"]
    assert [entry.identity for entry in validation] == ["here/b"]
    made = Forge(faces, train, seed=1).make(0, "self_blend")
    assert made.mask.any()
    assert made.face.source == "here"


def test_people_without_a_name_are_not_one_person(tmp_path: Path) -> None:
    image, points = _photograph()
    index = []
    for name, split in (("a.jpg", "train"), ("b.jpg", "validation"), ("c.jpg", "train")):
        cv2.imwrite(str(tmp_path / name), image)
        index.append({"file": name, "person": None, "source": "here", "split": split})
    (tmp_path / "index.json").write_text(json.dumps(index))
    np.savez(tmp_path / "landmarks.npz", file_index=np.arange(3), points=np.array([points] * 3))
    write_crops(tmp_path / "faces", [tmp_path])
    train, validation = FaceSet(tmp_path / "faces").split()
    assert [entry.identity for entry in train] == ["here/a.jpg", "here/c.jpg"]
    assert [entry.identity for entry in validation] == ["here/b.jpg"]


def _grey_photos(folder: Path, number: int, colour: tuple[int, int, int]) -> Path:
    """Write `number` JPEG photographs of one colour with an index."""
    folder.mkdir()
    _, points = _photograph()
    index = []
    for name in (f"{one:04d}.jpg" for one in range(number)):
        cv2.imwrite(str(folder / name), np.full((SIDE + 200, SIDE + 200, 3), colour, np.uint8))
        index.append({"file": name, "person": name, "source": "here", "split": "train"})
    (folder / "index.json").write_text(json.dumps(index))
    np.savez(folder / "landmarks.npz", file_index=np.arange(number), points=[points] * number)
    return folder


def test_of_grey_photographs_one_in_three_is_kept_and_always_the_same(tmp_path: Path) -> None:
    grey = _grey_photos(tmp_path / "grey", 30, (128, 128, 128))
    coloured = _grey_photos(tmp_path / "coloured", 4, (110, 128, 150))
    assert write_crops(tmp_path / "all", [grey, coloured]) == 34
    assert write_crops(tmp_path / "few", [grey, coloured], grey_of=3) == 9 + 4
    kept = [entry.identity for entry in FaceSet(tmp_path / "few").entries]
    assert kept[:3] == ["here/0002.jpg", "here/0003.jpg", "here/0004.jpg"]


@pytest.mark.parametrize(("tint", "grey"), [(0, True), (2, True), (12, False)])
def test_a_faint_tint_is_still_grey(tint: int, grey: bool) -> None:
    image = np.full((40, 40, 3), 128, np.uint8)
    image[..., 2] += tint
    assert is_grey(image) == grey
