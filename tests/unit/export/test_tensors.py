"""Reading weight files one tensor at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ft_export.errors import TensorMissingError
from ft_export.weights.tensors import Checkpoint, load_module, read_tensors

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


@pytest.fixture(params=["zip.pth", "legacy.pth", "plain.bin", "below model.pth", "x.safetensors"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / request.param
    if file.suffix == ".safetensors":
        save_file(STATE, file)
    elif file.stem == "below model":
        torch.save({"model": STATE, "epoch": 3, "config": {"lr": 1e-5}, "scaler": None}, file)
    else:
        torch.save(STATE, file, _use_new_zipfile_serialization=file.stem != "legacy")
    return file


def test_every_form_gives_the_same_tensors(path: Path) -> None:
    tensors = read_tensors(path)
    assert tensors.keys() == STATE.keys()
    for name, lazy in tensors.items():
        assert lazy.read().equal(STATE[name])
        assert lazy.read().dtype == STATE[name].dtype


def test_a_released_file_is_opened_again_and_its_tensors_stay_valid(path: Path) -> None:
    checkpoint = Checkpoint(read_tensors(path))
    weight = checkpoint.tensor("a.weight")
    checkpoint.release()
    assert weight.equal(STATE["a.weight"])
    assert checkpoint.tensor("a.weight").equal(weight)


def test_what_is_no_tensor_is_left_out(tmp_path: Path) -> None:
    torch.save({**STATE, "epoch": 3, "note": "text"}, tmp_path / "mixed.pth")
    assert read_tensors(tmp_path / "mixed.pth").keys() == STATE.keys()


def test_a_checkpoint_remembers_what_was_used(path: Path) -> None:
    checkpoint = Checkpoint(read_tensors(path))
    assert "a.bias" in checkpoint
    assert checkpoint.dead == ["a.bias", "a.weight"]
    checkpoint.tensor("a.weight")
    assert checkpoint.dead == ["a.bias"]
    with pytest.raises(TensorMissingError, match=r"'b\.bias'"):
        checkpoint.tensor("b.bias")


def test_a_module_is_filled_by_published_names_in_float32(path: Path) -> None:
    with torch.device("meta"):
        empty = nn.Linear(3, 2)
    module = load_module(empty, Checkpoint(read_tensors(path)), "a.{}".format)
    assert module.weight.equal(STATE["a.weight"])
    assert module.bias.equal(torch.ones(2))
    assert module.bias.dtype == torch.float32
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
