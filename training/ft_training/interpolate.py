"""The mean of a run's vision weights and of those that it went on from, as a run of its own.

`python -m ft_training.interpolate RUN START OUT`. A further training gains something and forgets
something; the mean of both ends keeps most of either (Wortsman et al., "Robust fine-tuning of
zero-shot models", CVPR 2022). OUT is calibrated and exported like any run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from ft_training.model import Nano
from ft_training.vision import CHECKPOINT
from ft_training.weights import read_vision


def main(
    run: Annotated[Path, typer.Argument(help="A run whose vision stage has ended.")],
    start: Annotated[Path, typer.Argument(help="The weights folder that it went on from.")],
    out: Annotated[Path, typer.Argument(help="The run to write.")],
) -> None:
    """Write the mean of two models as a run, for example: RUN training/nano MEAN"""
    checkpoint = torch.load(run / CHECKPOINT, "cpu", weights_only=True)
    model = Nano()
    read_vision(model, start)
    before = model.state_dict()
    checkpoint["average"] = {
        name: torch.lerp(value, before[name], 0.5) if value.is_floating_point() else value
        for name, value in checkpoint["average"].items()
    }
    out.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, out / CHECKPOINT)


if __name__ == "__main__":
    typer.run(main)
