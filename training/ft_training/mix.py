"""The mean of a run's vision weights and of those that it went on from, as a run of its own.

`python -m ft_training.mix RUN START OUT`. A further training gains something and forgets something;
the mean of both ends keeps most of either (Wortsman et al., "Robust fine-tuning of zero-shot
models", CVPR 2022). OUT is calibrated and exported like any run.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from ft_training.model import Nano
from ft_training.text import CHECKPOINT as TEXT_CHECKPOINT
from ft_training.vision import CHECKPOINT as VISION_CHECKPOINT
from ft_training.weights import read_vision


def mean(state: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of two states; what is counted in whole numbers is that of `state`."""
    return {
        name: torch.lerp(value, other[name], 0.5) if value.is_floating_point() else value
        for name, value in state.items()
    }


def main(
    run: Annotated[Path, typer.Argument(help="A run whose vision stage has ended.")],
    start: Annotated[Path, typer.Argument(help="The weights folder that it went on from.")],
    out: Annotated[Path, typer.Argument(help="The run to write.")],
) -> None:
    """Write the mean of two models as a run, for example: RUN training/nano MEAN"""
    checkpoint = torch.load(run / VISION_CHECKPOINT, "cpu", weights_only=True)
    model = Nano()
    read_vision(model, start)
    checkpoint["average"] = mean(checkpoint["average"], model.state_dict())
    out.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, out / VISION_CHECKPOINT)
    if (run / TEXT_CHECKPOINT).exists():
        shutil.copyfile(run / TEXT_CHECKPOINT, out / TEXT_CHECKPOINT)


if __name__ == "__main__":
    typer.run(main)
