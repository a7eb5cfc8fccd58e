from __future__ import annotations

from pathlib import Path

import torch

from ft_training.interpolate import main
from ft_training.model import Nano
from ft_training.train import load_vision
from ft_training.weights import read_vision

SHIPPED = Path(__file__).parents[3] / "training" / "nano"


def test_the_mean_lies_half_way_and_is_a_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, shipped = Nano(), Nano()
    read_vision(shipped, SHIPPED)
    torch.save({"average": model.state_dict(), "step": 7, "elapsed": 1.0}, tmp_path / "vision.pt")
    main(tmp_path, SHIPPED, tmp_path / "mean")
    found, before = load_vision(tmp_path / "mean").state_dict(), shipped.state_dict()
    for name, value in model.state_dict().items():
        wanted = (value + before[name]) / 2 if value.is_floating_point() else value
        assert torch.allclose(found[name], wanted, atol=1e-6)
