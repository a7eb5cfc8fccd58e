"""Writes the weights folder that `ft-export` reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from ft_forge import LABELS
from ft_training.language import PROMPT, Reporter
from ft_training.model import DIMENSIONS, Nano

FACE_DETECTOR = Path(__file__).parents[1] / "nano" / "face_detector.onnx"
WEIGHTS = "nano.safetensors"
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


def read_vision(model: Nano, folder: Path) -> None:
    """Fill the stages of `model` from a weights folder that :func:`write_weights` wrote.

    What the folder lacks, since the model has grown, stays as it is and is named.
    """
    state = {
        name: value.float()
        for name, value in load_file(folder / WEIGHTS).items()
        if not name.startswith("t5_proj.")
    }
    counted = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    found = model.load_state_dict(state, strict=False)
    new = sorted(set(found.missing_keys) - counted)
    if new:
        print(f"not in {folder}, begun anew: {', '.join(new)}", flush=True)


def read_reporter(reporter: Reporter, folder: Path) -> None:
    """Fill `reporter` from the same folder's language model and projection."""
    projection = load_file(folder / WEIGHTS)
    reporter.t5_proj.load_state_dict({
        name: projection[f"t5_proj.{name}"].float() for name in reporter.t5_proj.state_dict()
    })  # fmt: skip
    tensors = load_file(folder / "language" / "model.safetensors")
    state = {name: value.float() for name, value in tensors.items()}
    for stack in ("encoder", "decoder"):
        state[f"{stack}.embed_tokens.weight"] = state["shared.weight"]
    reporter.t5.load_state_dict(state)


def write_weights(
    model: Nano, reporter: Reporter, calibration: dict[str, Any], folder: Path
) -> None:
    """Write `architecture.json`, `nano.safetensors`, `language/` and `calibration.json`.

    The face detector is the one beside the shipped weights. The folder is built beside its place,
    and renamed into it.
    """
    building = folder.with_name(folder.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    (building / "architecture.json").write_text(json.dumps(architecture(), indent=2) + "\n")
    save_file(_tensors(model, reporter), building / WEIGHTS)
    reporter.save(building / "language")
    (building / "calibration.json").write_text(json.dumps(calibration, indent=2) + "\n")
    shutil.copyfile(FACE_DETECTOR, building / FACE_DETECTOR.name)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    building.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
