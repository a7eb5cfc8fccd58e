from __future__ import annotations

from pathlib import Path

import torch
import typer
from typer.testing import CliRunner

from ft_training.mix import main
from ft_training.model import Nano
from ft_training.train import load_vision
from ft_training.weights import read_vision

SHIPPED = Path(__file__).parents[3] / "training" / "nano"


def test_the_mean_lies_half_way_and_is_a_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    run, out = tmp_path / "run", tmp_path / "mean"
    run.mkdir()
    model, shipped = Nano(), Nano()
    read_vision(shipped, SHIPPED)
    torch.save({"average": model.state_dict(), "step": 7, "elapsed": 1.0}, run / "vision.pt")
    (run / "text.pt").write_bytes(b"words")
    app = typer.Typer()
    app.command()(main)
    assert CliRunner().invoke(app, [str(run), str(SHIPPED), str(out)]).exit_code == 0
    mixed, before = load_vision(out).state_dict(), shipped.state_dict()
    for name, value in model.state_dict().items():
        wanted = (value + before[name]) / 2 if value.is_floating_point() else value
        assert torch.allclose(mixed[name], wanted, atol=1e-6)
    assert (out / "text.pt").read_bytes() == b"words"
