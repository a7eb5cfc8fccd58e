from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from ft_forge import DEFAULT_MIX, FAMILIES, UNTOUCHED, FaceSet, Forge
from ft_forge.recipe import MINIMUM_AREA, MINIMUM_CHANGE, NAMED_MIX
from ftsdk.errors import DataError, DataNotFoundError
from tests.unit.forge.forge_faces import write_faces


def npz(**arrays: np.ndarray) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder)
    faces = FaceSet(folder)
    return Forge(faces, faces.entries, seed=4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_changes_pixels_where_its_mask_says(forge: Forge, family: str) -> None:
    made = forge.make(1, family)
    difference = np.abs(made.image.astype(int) - made.face.image).mean(axis=2)
    assert made.image.dtype == np.uint8
    assert made.image.shape == made.face.image.shape
    assert made.mask.mean() >= MINIMUM_AREA
    assert difference[made.mask].mean() >= MINIMUM_CHANGE
    assert difference[made.mask].mean() > 3 * difference[~made.mask].mean()
    assert made.traces


@pytest.mark.parametrize("family", [*FAMILIES, UNTOUCHED])
def test_a_seed_makes_the_same_picture_again(forge: Forge, family: str) -> None:
    once, again = forge.make(7, family), forge.make(7, family)
    np.testing.assert_array_equal(once.image, again.image)
    np.testing.assert_array_equal(once.mask, again.mask)
    np.testing.assert_array_equal(once.multilabel, again.multilabel)


def test_numbers_differ(forge: Forge) -> None:
    assert not np.array_equal(forge.make(1).image, forge.make(2).image)


def test_an_untouched_face_has_no_mask_and_no_label(forge: Forge) -> None:
    made = forge.make(3, UNTOUCHED)
    np.testing.assert_array_equal(made.image, made.face.image)
    assert not made.mask.any()
    assert not made.multilabel.any()
    assert made.traces == ()


def test_an_earlier_save_is_made_again_from_its_number(forge: Forge) -> None:
    made = [forge.make(index) for index in range(24)]
    before = [one for one in made if one.face.save_seed]
    assert 0 < len(before) < len(made)
    for one in before:
        entry = next(e for e in forge.entries if e.file == one.face.file)
        again = forge.faces.load(entry, one.face.save_seed)
        np.testing.assert_array_equal(again.image, one.face.image)
        assert not np.array_equal(again.image, forge.faces.load(entry).image)


def test_every_family_is_in_the_default_mix_or_made_where_it_is_named() -> None:
    assert not DEFAULT_MIX.keys() & NAMED_MIX.keys()
    assert {*DEFAULT_MIX, *NAMED_MIX} == {*FAMILIES, UNTOUCHED}
    assert sum(DEFAULT_MIX.values()) == pytest.approx(1.0)


def test_without_edit_levels_the_mix_has_no_gan_edits(forge: Forge) -> None:
    plain = [entry for entry in forge.entries if not entry.attribute]
    assert "gan_edit" not in Forge(forge.faces, plain).mix


def test_no_identity_is_on_both_sides_of_the_split(forge: Forge) -> None:
    train, held_out = forge.faces.split(0.5)
    assert {e.identity for e in train}.isdisjoint(e.identity for e in held_out)
    assert len(train) + len(held_out) == len(forge.faces.entries)


def test_a_folder_without_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"index\.json"):
        FaceSet(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("index.json", b"", "index"),
        ("index.json", b"[]", "an empty list"),
        ("index.json", b'[{"file": "a.png"}]', "identity"),
        ("index.json", b'{"file": "a.png"}', "mapping"),
        ("landmarks.npz", None, "landmarks.npz"),
        ("landmarks.npz", b"", "data"),
        ("landmarks.npz", b"PK\3\4", "zip"),
        ("landmarks.npz", npz(faces=np.zeros((1, 478, 2))), "points"),
        ("landmarks.npz", npz(points=np.zeros((1, 478, 2))), "[1, 478, 2]"),
        ("landmarks.npz", npz(points=np.full((10, 478, 2), np.nan)), "not finite"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    write_faces(tmp_path, people=4)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        FaceSet(tmp_path)
    assert said in f"{caught.value.what} {caught.value.found}"
    assert caught.value.cure
