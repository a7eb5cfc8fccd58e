from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ft_forge import FaceSet
from ft_forge.regenerated import FOLDER
from ft_training import autoencoders
from ft_training.autoencoders import CHECKPOINT, DESIGNS, Autoencoder, fit, regenerate
from tests.unit.forge.forge_faces import write_faces


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.enlarged)
def test_an_autoencoder_returns_what_it_was_given_the_shape_of(
    design: autoencoders.Design,
) -> None:
    model = Autoencoder(replace(design, side=64)).eval()
    numbers = model.encoder(torch.zeros(1, 3, 64, 64))
    assert numbers.shape == (1, design.channels, 64 >> design.halvings, 64 >> design.halvings)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.slow
def test_it_learns(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    faces = torch.randint(0, 256, (4, 3, 1, 1)).expand(-1, -1, 256, 256).to(torch.uint8)
    model = fit(replace(DESIGNS[0], side=32), faces, 6)
    seen = faces[..., :32, :32].float() / 255
    with torch.no_grad():
        assert (model(seen) - seen).abs().mean() < 0.15
    assert "difference" in capsys.readouterr().out


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
