from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ft_forge import FaceSet
from ft_forge.regenerated import FOLDER
from ft_training import autoencoders
from ft_training.autoencoders import CHECKPOINT, DESIGNS, Autoencoder, regenerate
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


def test_every_face_is_regenerated_by_every_autoencoder(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    write_faces(tmp_path / "faces", 3)
    faces = FaceSet(tmp_path / "faces")
    states = {number: Autoencoder(DESIGNS[number]).state_dict() for number in (0, 2)}
    torch.save(states, tmp_path / CHECKPOINT)
    regenerate([tmp_path / "faces"], tmp_path, "cpu", workers=0)
    index = json.loads((tmp_path / "faces" / FOLDER / "index.json").read_text())
    assert {one["of"] for one in index} == {entry.file for entry in faces.entries}
    assert len(index) == 2 * len(faces.entries)
    assert all((tmp_path / "faces" / FOLDER / one["file"]).is_file() for one in index)
