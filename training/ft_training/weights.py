"""Writes the weights folder that `ft-export` reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ft_calibration.forge import LABELS

from .language import PROMPT, Reporter
from .model import DIMENSIONS, Nano

MASK_SIZE = DIMENSIONS["vision_encoder"]["image_size"] // 2


def architecture() -> dict[str, Any]:
    """Return what `architecture.json` holds."""
    return {
        "family": "nano",
        "image_size": DIMENSIONS["vision_encoder"]["image_size"],
        "mask_size": MASK_SIZE,
        "labels": list(LABELS),
        "prompt": PROMPT,
        **DIMENSIONS,
        "language_model": {"folder": "language"},
    }


def _tensors(model: Nano, reporter: Reporter) -> dict[str, Tensor]:
    state = {**model.state_dict()}
    state |= {f"t5_proj.{name}": value for name, value in reporter.t5_proj.state_dict().items()}
    # Matrices in 16 bits: half the size, and far below what the model can tell apart.
    return {
        name: (value.half() if value.dim() > 1 else value).contiguous().clone()
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }


def write_weights(
    model: Nano, reporter: Reporter, calibration: dict[str, Any], folder: Path
) -> None:
    """Write `architecture.json`, `nano.safetensors`, `language/` and `calibration.json`.

    The folder is built beside its place and renamed into it.
    """
    building = folder.with_name(folder.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    (building / "architecture.json").write_text(json.dumps(architecture(), indent=2) + "\n")
    save_file(_tensors(model, reporter), building / "nano.safetensors")
    reporter.save(building / "language")
    (building / "calibration.json").write_text(json.dumps(calibration, indent=2) + "\n")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    building.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
