"""What `benchmarks.independent` forges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, transform

from benchmarks.independent.__main__ import main
from benchmarks.independent.areas import cloned, hull, part
from benchmarks.independent.edits import EDITS, Edit, Photograph, as_bytes
from ft_forge.mmtt import MmttData
from tests.unit.forge.forge_faces import SIDE, landmarks


def _photograph(seed: int = 0) -> Photograph:
    portrait = transform.resize(data.astronaut()[0:220, 110:330], (SIDE, SIDE))
    rng = np.random.default_rng(seed)
    noisy = portrait * rng.uniform(0.8, 1, 3) + rng.normal(0, 0.01, portrait.shape)
    return Photograph(np.clip(noisy, 0, 1), landmarks(0.002, seed).astype(np.float64))


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_an_edit_changes_the_picture_where_it_says_and_the_same_again(edit: Edit) -> None:
    face, donor = _photograph(), _photograph(1)
    for seed in range(6):
        made, again = (edit(face, donor, np.random.default_rng(seed)) for _ in range(2))
        assert made is not None
        assert again is not None
        image, area = made
        np.testing.assert_array_equal(image, again[0])
        assert image.shape == face.image.shape
        assert 0 <= image.min() <= image.max() <= 1
        change = np.abs(image - face.image).mean(-1)
        beside = ~ndimage.binary_dilation(area, iterations=12)
        assert change[area].mean() > 0.002
        assert change[beside].max(initial=0) < 0.02


def test_a_clone_keeps_its_gradients_and_the_border_of_what_it_covers() -> None:
    image, patch = np.full((24, 24, 3), 0.5), np.full((24, 24, 3), 0.2)
    patch[:, 12:] += 0.1  # an edge
    area = np.zeros((24, 24), bool)
    area[4:20, 4:20] = True
    made = cloned(image, patch, area)
    np.testing.assert_array_equal(made[~area], image[~area])
    assert made[12, 12, 0] - made[12, 11, 0] == pytest.approx(0.1, abs=0.02)
    flat = cloned(image, np.full_like(patch, 0.2), area)
    np.testing.assert_allclose(flat, image, atol=1e-9)  # nothing but a shift: it is undone


def test_a_hull_holds_its_points_and_grows() -> None:
    eye = part(_photograph().points, "left_eye")
    area, larger = (hull((SIDE, SIDE), eye, grow) for grow in (1.0, 1.5))
    assert larger.sum() == pytest.approx(2.25 * area.sum(), rel=0.1)
    assert not (area & ~larger).any()


def test_photographs_become_a_data_set_that_ft_eval_reads(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    kept = {"kind": "face", "faces": 1, "grey": False}
    index = [{"file": f"{n}.png", "person": str(n), **kept} for n in range(4)]
    index.append({**index[0], "file": "group.png", "faces": 2})
    faces = [_photograph(number) for number in range(5)]
    for entry, face in zip(index, faces, strict=True):
        as_bytes(face.image).save(photos / str(entry["file"]))
    (photos / "index.json").write_text(json.dumps(index))
    points = np.stack([face.points for face in faces]).astype(np.float16)
    np.savez(photos / "landmarks.npz", points=points, file_index=np.arange(5))
    records = tmp_path / "records.json"
    names = [str(entry["file"]) for entry in index if entry["file"] != "3.png"]
    records.write_text(json.dumps([{"image_id": name} for name in names]))
    main(photos, records, out, 4)
    made = MmttData(out)
    forged = [one for one in made.records if one.attribute != "untouched"]
    untouched = [one for one in made.records if one.attribute == "untouched"]
    assert len(untouched) == 3  # neither the group nor what is not named
    assert 3 <= len(forged) <= 6
    assert len(list(out.rglob("*.jpg"))) == len(made.records)
    as_large = {record.image_id for record in MmttData(out / "own_size.json").records}
    assert 0 < len(as_large) < len(made.records)
    assert as_large == {
        record.image_id for record in made.records if made.picture(record).pixels.shape[0] == SIDE
    }
    for record in forged:
        mask = made.mask(record)
        assert mask is not None
        assert made.picture(record).pixels.shape[:2] == mask.shape
        assert 0 < mask.mean() < 1
        assert str(record.attribute) in {edit.__name__ for edit in EDITS}
    assert all(made.mask(record) is None for record in untouched)
