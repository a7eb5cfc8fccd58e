from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from ft_training.vision import CHECKPOINT, VisionTraining
from tests.unit.forge.forge_faces import write_faces

SHIPPED = Path(__file__).parents[3] / "training" / "nano"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    write_faces(folder, held_out="")
    return folder


def test_a_training_that_was_killed_goes_on_where_it_was(faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    killed = VisionTraining([faces], run, 1e-6, SHIPPED, batch=2)
    killed.train()  # one step: the budget is used up when it ends
    (run / "vision.tmp").write_bytes(b"killed while it saved")
    resumed = VisionTraining([faces], run, 1.1 * killed.elapsed / 60, SHIPPED, batch=2)
    assert (resumed.step, resumed.elapsed) == (killed.step, killed.elapsed) == (1, killed.elapsed)
    for mine, saved in ((resumed.model.state_dict(), killed.model.state_dict()),
                        (resumed.average, killed.average)):  # fmt: skip
        torch.testing.assert_close(mine, saved, rtol=0, atol=0)
    moments = [training.optimizer.state_dict()["state"] for training in (killed, resumed)]
    assert moments[0].keys() == moments[1].keys()
    for name in moments[0]:
        torch.testing.assert_close(moments[1][name], moments[0][name], rtol=0, atol=0)
    resumed.train()
    assert resumed.step > 1
    assert torch.load(run / CHECKPOINT, weights_only=True)["step"] == resumed.step


def test_weights_that_are_trained_again_see_other_pictures(tmp_path: Path) -> None:
    other = tmp_path / "weights"
    shutil.copytree(SHIPPED, other)
    weights = other / "nano.safetensors"
    first = VisionTraining([], tmp_path, 1.0, other).seed
    assert VisionTraining([], tmp_path, 1.0, other).seed == first
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1  # the lowest bits of a half
    weights.write_bytes(content)
    assert VisionTraining([], tmp_path, 1.0, other).seed != first
