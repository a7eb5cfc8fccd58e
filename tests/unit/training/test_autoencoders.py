from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ft_forge import FaceSet
from ft_forge.regenerated import FOLDER
from ft_training import autoencoders
from ft_training.autoencoders import CHECKPOINT, DESIGNS, Autoencoder, regenerate
from ftsdk.errors import OptionError
from tests.unit.forge.forge_faces import write_faces


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.enlarged)
def test_an_autoencoder_returns_what_it_was_given_the_shape_of(
    design: autoencoders.Design,
) -> None:
    model = Autoencoder(replace(design, side=64)).eval()
    numbers = model.encoder(torch.zeros(1, 3, 64, 64))
    assert numbers.shape == (1, design.channels, 64 >> design.halvings, 64 >> design.halvings)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)


def test_training_goes_on_with_the_designs_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [replace(design, side=32) for design in DESIGNS[:2]]
    monkeypatch.setattr(autoencoders, "DESIGNS", few[:1])
    monkeypatch.setattr(autoencoders, "LEARNT", np.inf)
    write_faces(tmp_path, 3)
    autoencoders.train([tmp_path], tmp_path, 1e-3, "cpu", workers=0)
    first = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    monkeypatch.setattr(autoencoders, "DESIGNS", few)
    autoencoders.train([tmp_path], tmp_path, 1e-3, "cpu", workers=0)
    both = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert list(both) == [0, 1]
    assert all(torch.equal(first[0][name], value) for name, value in both[0].items())
    untrained = Autoencoder(few[1]).state_dict()
    assert any(not torch.equal(untrained[name], value) for name, value in both[1].items())


def test_an_autoencoder_that_has_not_learnt_faces_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoders, "DESIGNS", [replace(DESIGNS[0], side=32)])
    write_faces(tmp_path, 3)
    with pytest.raises(OptionError, match="not learnt faces") as raised:
        autoencoders.train([tmp_path], tmp_path, 1e-3, "cpu", workers=0)
    assert "--regenerate-minutes" in raised.value.cure
    assert not (tmp_path / CHECKPOINT).exists()


def test_an_autoencoder_that_returns_what_it_is_given_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exact(*_: object) -> torch.nn.Module:
        return torch.nn.Identity()

    monkeypatch.setattr(autoencoders, "DESIGNS", DESIGNS[:1])
    monkeypatch.setattr(autoencoders, "fit", exact)
    write_faces(tmp_path, 3)
    autoencoders.train([tmp_path], tmp_path, 1.0, "cpu", workers=0)
    assert list(torch.load(tmp_path / CHECKPOINT, weights_only=True)) == [0]


def _ready(folder: Path, numbers: tuple[int, ...]) -> FaceSet:
    """Write three people's faces and untrained autoencoders, as a run leaves them."""
    (folder / "faces").mkdir()
    write_faces(folder / "faces", 3)
    states = {number: Autoencoder(DESIGNS[number]).state_dict() for number in numbers}
    torch.save(states, folder / CHECKPOINT)
    return FaceSet(folder / "faces")


def _pictures(faces: FaceSet) -> dict[str, int]:
    """Return when each regenerated picture was written, in ns."""
    return {one.name: one.stat().st_mtime_ns for one in (faces.root / FOLDER).glob("*.png")}


def test_every_face_is_regenerated_by_every_autoencoder(tmp_path: Path) -> None:
    faces = _ready(tmp_path, (0, 2))
    regenerate([faces.root], tmp_path, "cpu", workers=0)
    index = json.loads((faces.root / FOLDER / "index.json").read_text())
    assert {one["of"] for one in index} == {entry.file for entry in faces.entries}
    assert len(index) == 2 * len(faces.entries)
    assert {one["file"] for one in index} == set(_pictures(faces))


def test_regenerating_again_writes_only_what_is_missing(tmp_path: Path) -> None:
    faces = _ready(tmp_path, (0,))
    regenerate([faces.root], tmp_path, "cpu", workers=0)
    folder = faces.root / FOLDER
    before, index = _pictures(faces), (folder / "index.json").read_text()
    lost = folder / "00001-0.png"
    content = lost.read_bytes()
    lost.unlink()
    (folder / "index.json").unlink()  # a kill comes before the index
    regenerate([faces.root], tmp_path, "cpu", workers=0)
    after = _pictures(faces)
    assert [name for name in before if before[name] != after[name]] == [lost.name]
    assert (lost.read_bytes(), (folder / "index.json").read_text()) == (content, index)


def test_other_autoencoders_or_other_faces_make_every_picture_anew(tmp_path: Path) -> None:
    faces = _ready(tmp_path, (0, 2))
    regenerate([faces.root], tmp_path, "cpu", workers=0)
    torch.save({2: Autoencoder(DESIGNS[2]).state_dict()}, tmp_path / CHECKPOINT)
    regenerate([faces.root], tmp_path, "cpu", workers=0)
    pictures = _pictures(faces)
    assert set(pictures) == {f"{entry.row:05d}-2.png" for entry in faces.entries}
    np.savez(faces.root / "landmarks.npz", points=faces.points + 8)
    regenerate([faces.root], tmp_path, "cpu", workers=0)
    assert all(when != pictures[name] for name, when in _pictures(faces).items())
