"""The Flan-T5 folder: its dimensions, and which folder it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import second_miniature
import torch
from loading import refusal
from safetensors.torch import save_file

from ft_export.errors import ArchitectureError, WeightsNotFoundError
from ft_export.plan import plan_export
from ft_export.weights.language_folder import read_language_dims, read_language_tensors


@pytest.fixture
def weights(second_weights: Path, tmp_path: Path) -> Path:
    """A copy of the second miniature's folder, to be changed."""
    return shutil.copytree(second_weights, tmp_path / "weights")


def test_every_dimension_is_read(second_weights: Path) -> None:
    assert read_language_dims(second_weights / "a-t5") == second_miniature.LANGUAGE


def test_without_its_own_depth_the_decoder_is_as_deep_as_the_encoder(weights: Path) -> None:
    path = weights / "a-t5/config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["num_decoder_layers"], config["relative_attention_max_distance"]
    path.write_text(json.dumps(config | {"an_unknown_field": [1]}), encoding="utf-8")
    dims = read_language_dims(path.parent)
    assert (dims.encoder_layers, dims.decoder_layers, dims.max_distance) == (3, 3, 128)


@pytest.mark.parametrize(
    "change",
    [
        {"d_model": "28"},
        {"d_kv": 0},
        {"num_heads": None},
        {"num_layers": -1},
        {"feed_forward_proj": "relu"},
        {"tie_word_embeddings": True},
        {"layer_norm_epsilon": "small"},
    ],
)
def test_a_language_config_that_is_wrong_is_refused(
    weights: Path, change: dict[str, object]
) -> None:
    path = weights / "a-t5/config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(config), encoding="utf-8")
    error = refusal(weights, ArchitectureError)
    assert str(path) in error.what
    assert next(iter(change)) in error.expected + error.found


@pytest.mark.parametrize(
    "field", ["d_model", "d_kv", "d_ff", "num_heads", "num_layers", "vocab_size"]
)
def test_a_language_config_that_lacks_a_field_is_refused(weights: Path, field: str) -> None:
    path = weights / "a-t5/config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config[field]
    path.write_text(json.dumps(config), encoding="utf-8")
    error = refusal(weights, ArchitectureError)
    assert field in error.expected + error.found


def test_the_only_t5_folder_is_found_without_its_name(weights: Path) -> None:
    unnamed = second_miniature.ARCHITECTURE.model_copy(update={"language_model": _unnamed()})
    assert plan_export(weights, unnamed, "second").language == second_miniature.LANGUAGE


def test_two_t5_folders_are_not_guessed_between(weights: Path) -> None:
    (weights / "another").mkdir()
    (weights / "another/config.json").write_bytes((weights / "a-t5/config.json").read_bytes())
    unnamed = second_miniature.ARCHITECTURE.model_copy(update={"language_model": _unnamed()})
    with pytest.raises(WeightsNotFoundError) as caught:
        plan_export(weights, unnamed, "second")
    assert "another, a-t5" in caught.value.found or "a-t5, another" in caught.value.found


def _unnamed() -> Any:
    return second_miniature.ARCHITECTURE.language_model.model_copy(update={"folder": None})


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_one_file_holds_the_same_as_its_shards(weights: Path, name: str) -> None:
    folder = weights / "a-t5"
    sharded = {key: lazy.read() for key, lazy in read_language_tensors(folder).items()}
    for path in (*folder.glob("*.safetensors"), *folder.glob("*.index.json")):
        path.unlink()
    state = {key.removeprefix("t5_model."): value for key, value in sharded.items()}
    if name.endswith(".bin"):
        torch.save(state, folder / name)
    else:
        save_file(state, folder / name)
    whole = read_language_tensors(folder)
    assert whole.keys() == sharded.keys()
    assert all(lazy.read().equal(sharded[key]) for key, lazy in whole.items())
