from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ft_forge import FaceSet, Forge
from ft_forge.degrade import add_noise
from ft_forge.recipe import _Pool
from ft_forge.regenerated import Regenerated, put_back
from ft_forge.resynthesis import generated
from ftsdk.imaging.framing import Box, cut_out
from tests.unit.forge.forge_faces import write_faces, write_regenerated


def _smooth(side: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    return cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("box", [Box(40, 30, 96), Box(40, 30, 96, 33.0), Box(-20, 100, 120)])
def test_a_square_comes_back_to_where_it_was_cut_out(box: Box) -> None:
    image = _smooth(192)
    square = cut_out(image, box, box.side)
    back = put_back(square, box, np.zeros_like(image), cv2.INTER_LINEAR)
    there = back.any(2)
    assert there.sum() > 0.5 * min(box.side, 160) ** 2
    assert np.abs(back.astype(int) - image)[there].mean() < 3


def test_a_folder_without_regenerated_faces_has_none(tmp_path: Path) -> None:
    image = _smooth(64)
    assert Regenerated(tmp_path).of("a.png", image, np.random.default_rng(0)) is None


def test_without_autoencoders_a_generator_s_face_is_still_the_face_and_has_lost_its_grain(
    tmp_path: Path,
) -> None:
    write_faces(tmp_path, 2)
    faces = FaceSet(tmp_path)
    face = faces.load(faces.entries[0])
    noisy = add_noise(face.image, 8.0, np.random.default_rng(0))
    donors = _Pool(faces, faces.entries, faces.entries[1], 0)
    made = generated(replace(face, image=noisy), donors, np.random.default_rng(2))
    assert made.shape == face.image.shape
    assert cv2.Laplacian(made, cv2.CV_32F).std() < 0.5 * cv2.Laplacian(noisy, cv2.CV_32F).std()
    assert np.corrcoef(made.ravel(), face.image.ravel())[0, 1] > 0.9


def test_forgeries_take_what_the_autoencoders_made(tmp_path: Path) -> None:
    write_faces(tmp_path, 3)
    write_regenerated(tmp_path, lambda *_: np.full((64, 64, 3), (0, 255, 0), np.uint8))
    faces = FaceSet(tmp_path)
    forge = Forge(faces, faces.entries, {"resynthesis": 1.0}, seed=1)
    made = [forge.make(number) for number in range(12)]
    green = [one.image[one.mask].mean(0)[1] > one.image[one.mask].mean(0)[[0, 2]].max() + 60
             for one in made]  # fmt: skip
    assert 3 <= sum(green) <= 11  # AUTOENCODED of them, where the area is seen whole
