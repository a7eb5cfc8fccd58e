"""Loading a folder in the published layout as an export does, and what it is refused for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import second_miniature
import torch
from raising import raised
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ft_export.errors import ExportError
from ft_export.plan import ModelPlan, plan_export


def plan(weights: Path) -> ModelPlan:
    return plan_export(weights, second_miniature.ARCHITECTURE, "second")


def load_everything(weights: Path) -> dict[str, nn.Module]:
    """Open the folder and build each stage, as an export does."""
    planned = plan(weights)
    planned.token_embeddings()
    return {stage.name: stage.load() for stage in planned.stages}


def refusal(weights: Path, kind: type[ExportError]) -> ExportError:
    """Return the error of loading `weights`."""
    return raised(kind, lambda: load_everything(weights))


def edit(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the tensors of a weight file."""
    if path.suffix == ".safetensors":
        state = load_file(path)
        change(state)
        save_file(state, path)
        return
    whole = torch.load(path, weights_only=True)
    change(whole.get("model", whole))
    torch.save(whole, path)
