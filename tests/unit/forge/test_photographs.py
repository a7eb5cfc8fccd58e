from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_eval.photographs import records
from ft_forge import FaceSet, Forge
from ft_forge.copies import look
from ft_forge.degrade import jpeg
from ft_forge.framing import face_box
from ft_forge.geometry import PARTS
from ft_forge.photographs import MOST_PX, crop_face, is_grey, write_crops
from tests.unit.forge.forge_faces import SIDE, landmarks


def _photograph(scale: float = 1.0, shown: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture whose face lies in its middle, bright at the nose's landmarks.

    Each number `shown` is another person.
    """
    points = landmarks() * scale + 100
    side = round(SIDE * scale) + 200
    rough = np.random.default_rng(shown).uniform(60, 120, (9, 9, 3)).astype(np.float32)
    image = cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
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
    for shown, name in enumerate(("a.jpg", "b.jpg")):
        image, points = _photograph(shown=shown)
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


def _photos(folder: Path, rows: list[tuple[str, str | None, str, int]]) -> Path:
    """Write photographs with an index; a row is file, person, split and who is shown."""
    folder.mkdir()
    index, marks = [], []
    for name, person, split, shown in rows:
        image, points = _photograph(shown=shown)
        cv2.imwrite(str(folder / name), image)
        index.append({"file": name, "person": person, "source": "here", "split": split})
        marks.append(points)
    (folder / "index.json").write_text(json.dumps(index))
    np.savez(folder / "landmarks.npz", file_index=np.arange(len(rows)), points=marks)
    return folder


def _people(folder: Path) -> tuple[list[str], list[str]]:
    """Return the people of a face folder's training and validation halves."""
    train, validation = FaceSet(folder).split()
    return [one.identity for one in train], [one.identity for one in validation]


def test_people_without_a_name_are_not_one_person(tmp_path: Path) -> None:
    rows = [("a.jpg", None, "train", 1), ("b.jpg", None, "validation", 2)]
    write_crops(tmp_path / "faces", [_photos(tmp_path / "photos", rows)])
    assert _people(tmp_path / "faces") == (["here/a.jpg"], ["here/b.jpg"])


def test_who_is_trained_on_under_another_name_is_no_stranger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ("ann.png", "ann", "train", 1), ("ann-lee.jpg", "ann-lee", "validation", 1),
        ("bob.jpg", "bob", "validation", 2), ("eve.jpg", "eve", "validation", 3),
        ("eve-at-home.jpg", "eve", "validation", 4),
    ]  # fmt: skip
    elsewhere = _photos(tmp_path / "elsewhere", [("0017.jpg", "0017", "train", 3)])
    photos = _photos(tmp_path / "photos", rows)
    write_crops(tmp_path / "beside", [elsewhere])
    write_crops(tmp_path / "alone", [photos])
    assert _people(tmp_path / "alone")[1] == ["here/bob", "here/eve", "here/eve"]
    capsys.readouterr()
    write_crops(tmp_path / "faces", [photos], beside=[tmp_path / "beside"])
    assert _people(tmp_path / "faces")[1] == ["here/bob"]
    assert "moved there: here/ann-lee\n" in capsys.readouterr().err
    found = records(photos, "", "validation", tmp_path / "faces")
    assert [one["image_id"] for one in found] == ["bob.jpg"]


@pytest.mark.parametrize("quality", [30, 95])
@pytest.mark.parametrize("scale", [0.3, 0.6, 1.7])
def test_a_photograph_is_known_again_at_another_size_and_quality(
    scale: float, quality: int
) -> None:
    image, points = _photograph(shown=5)
    smaller = jpeg(cv2.resize(image, None, fx=scale, fy=scale), quality)
    own, copy = look(image, points), look(smaller, points * scale)
    others = [look(*_photograph(shown=shown)) for shown in range(5)]
    assert own @ copy > 0.97
    assert max(own @ other for other in others) < 0.9


def test_a_face_without_any_contrast_is_like_no_other() -> None:
    flat = look(np.full((SIDE, SIDE, 3), 128, np.uint8), landmarks())
    assert flat @ flat < 0.01


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
