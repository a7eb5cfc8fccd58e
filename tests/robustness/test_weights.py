"""Published folders that are incomplete, damaged, hostile or another model's."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loading import edit, load_everything, plan, refusal
from raising import raised
from torch import Tensor

from ft_export.errors import (
    ExportError,
    TensorMissingError,
    TensorShapeError,
    TensorValueError,
    UnsafePickleError,
    WeightsFileError,
    WeightsNotFoundError,
)
from ft_export.weights.tensors import read_tensors

FINE_TUNED = "2111_checkpoint_best.pth"
VISION = "bert-base-uncased/eva_vit_g.pth"
BLIP = "instruct_blip_flanxl_trimmed.pth"
PROMPTER = "ViT-H_14-add_cnn_branch/Fakeface-ViT-H_14-add_cnn_branch_checkpoint.bin"
SHARD = "a-t5/model-00002-of-00003.safetensors"
PICKLES = (FINE_TUNED, VISION, BLIP, PROMPTER)


@pytest.fixture
def weights(second_weights: Path, tmp_path: Path) -> Path:
    """A copy of the second miniature's folder, to be damaged."""
    return shutil.copytree(second_weights, tmp_path / "weights")


def test_a_whole_folder_loads(weights: Path) -> None:
    stages = load_everything(weights)
    assert [*stages] == [
        "vision_encoder",
        "forgery_prompter",
        "mask_decoder",
        "qformer",
        "language_encoder",
        "language_decoder",
    ]
    for module in stages.values():
        assert all(value.dtype == torch.float32 for value in module.parameters())
        assert not any(value.is_meta for value in module.state_dict().values())


TENSORS = [
    (VISION, "blocks.1.attn.v_bias", "visual_encoder.blocks.1.attn.v_bias"),
    (BLIP, "query_tokens", "query_tokens"),
    (BLIP, "Qformer.bert.encoder.layer.2.intermediate_query.dense.bias", None),
    (BLIP, "ln_vision.weight", None),
    (BLIP, "t5_proj.bias", None),
    (BLIP, "Qformer.bert.embeddings.word_embeddings.weight", None),
    (PROMPTER, "head.weight", "multi_label_classifier.head.weight"),
    (PROMPTER, "conv_branch2.1.running_var", "multi_label_classifier.conv_branch2.1.running_var"),
    (FINE_TUNED, "mask_decoder.mask_tokens", None),
    (FINE_TUNED, "cross_attention_layer.in_proj_bias", None),
    (FINE_TUNED, "prompt_proj.weight", None),
]
SHARDED = ["lm_head.weight", "shared.weight", "encoder.final_layer_norm.weight",
           "decoder.block.0.layer.1.EncDecAttention.k.weight"]  # fmt: skip


@pytest.mark.parametrize(("file", "name", "whole_name"), TENSORS)
def test_a_missing_tensor_is_named(
    weights: Path, file: str, name: str, whole_name: str | None
) -> None:
    edit(weights / file, lambda state: state.pop(name))
    assert f"'{whole_name or name}'" in refusal(weights, TensorMissingError).what


@pytest.mark.parametrize(("file", "name", "whole_name"), TENSORS)
def test_a_misshapen_tensor_is_named(
    weights: Path, file: str, name: str, whole_name: str | None
) -> None:
    shapes: list[list[int]] = []

    def change(state: dict[str, Tensor]) -> None:
        shapes.append(list(state[name].shape))
        state[name] = torch.cat((state[name], state[name]), dim=-1)
        shapes.append(list(state[name].shape))

    edit(weights / file, change)
    error = refusal(weights, TensorShapeError)
    assert f"'{whole_name or name}'" in error.what
    assert (error.expected, error.found) == (str(shapes[0]), str(shapes[1]))


@pytest.mark.parametrize(("file", "name", "whole_name"), TENSORS)
def test_a_tensor_with_a_value_that_is_no_number_is_named(
    weights: Path, file: str, name: str, whole_name: str | None
) -> None:
    value = float("inf") if file == BLIP else float("nan")
    edit(weights / file, lambda state: state[name].view(-1)[-1:].fill_(value))
    error = refusal(weights, TensorValueError)
    assert f"'{whole_name or name}'" in error.what
    assert error.found.startswith("1 of ")


def home_of(weights: Path, name: str) -> Path:
    index = json.loads((weights / "a-t5/model.safetensors.index.json").read_text(encoding="utf-8"))
    return weights / "a-t5" / str(index["weight_map"][name])


@pytest.mark.parametrize("name", SHARDED)
@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda state, name: state.pop(name), TensorMissingError),
        (lambda state, name: state.update({name: state[name][:-1].clone()}), TensorShapeError),
        (lambda state, name: state[name].view(-1)[:1].fill_(torch.nan), TensorValueError),
    ],
    ids=["missing", "misshapen", "nan"],
)
def test_a_language_tensor_is_named(
    weights: Path,
    name: str,
    damage: Callable[[dict[str, Tensor], str], Any],
    kind: type[ExportError],
) -> None:
    edit(home_of(weights, name), lambda state: damage(state, name))
    assert f"'t5_model.{name}'" in refusal(weights, kind).what


class Code:
    """A pickle of this leaves a file behind where it is run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("file", PICKLES)
@pytest.mark.parametrize("form", ["torch", "legacy torch", "pickle"])
def test_code_in_a_pickle_is_refused_and_nothing_of_it_runs(
    weights: Path, tmp_path: Path, file: str, form: str
) -> None:
    marker = tmp_path / "code-was-run"
    state = torch.load(weights / file, weights_only=True) | {"extra": Code(marker)}
    if form == "pickle":
        (weights / file).write_bytes(pickle.dumps({"extra": Code(marker)}))
    else:
        zipped = form == "torch"
        torch.save(state, weights / file, _use_new_zipfile_serialization=zipped)
    error = refusal(weights, UnsafePickleError)
    assert Path(file).name in error.what
    assert not marker.exists()
    # The file does run code where it is not refused, so the test can fail.
    torch.load(weights / file, weights_only=False) if form != "pickle" else pickle.loads(
        (weights / file).read_bytes()
    )
    assert marker.exists()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda content: content[: len(content) // 2],
    "all but the end": lambda content: content[:-100],
    "a few bytes": lambda content: content[:10],
    "nothing": lambda _: b"",
    "a Git LFS pointer": lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a web page": lambda _: b"<!DOCTYPE html><html>404</html>",
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("file", [*PICKLES[:2], SHARD])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named(
    weights: Path, file: str, damage: Callable[[bytes], bytes]
) -> None:
    path = weights / file
    path.write_bytes(damage(path.read_bytes()))
    assert path.name in refusal(weights, WeightsFileError).what


def test_a_legacy_checkpoint_that_ends_early_is_damaged(weights: Path) -> None:
    path = weights / VISION
    state = torch.load(path, weights_only=True)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    load_everything(weights)
    path.write_bytes(path.read_bytes()[:-2000])
    refusal(weights, WeightsFileError)


UNBACKED = {
    "expanded": lambda: torch.zeros(1).expand(1 << 20, 1 << 20),
    "overlapping": lambda: torch.zeros(8).as_strided((1 << 20, 4), (0, 1)),
    "meta": lambda: torch.empty(1 << 20, 1 << 20, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
}


@pytest.mark.parametrize("form", ["torch", "legacy torch"])
@pytest.mark.parametrize("make", UNBACKED.values(), ids=UNBACKED)
def test_a_tensor_that_is_more_than_its_file_holds_is_refused(
    tmp_path: Path, make: Callable[[], Tensor], form: str
) -> None:
    path = tmp_path / "weights.pth"
    zipped = form == "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({"big": make()}, path, _use_new_zipfile_serialization=zipped)
        error = raised(WeightsFileError, lambda: read_tensors(path))
    assert "big" in error.found


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_pipe_in_the_place_of_weights_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    os.mkfifo(path)
    assert "regular" in raised(WeightsFileError, lambda: read_tensors(path)).found


DESCRIPTIONS = [
    "a-t5/config.json",
    "a-t5/model.safetensors.index.json",
    "a-t5/tokenizer.json",
    "a-t5/special_tokens_map.json",
    "bert-base-uncased/vocab.txt",
]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("file", DESCRIPTIONS)
@pytest.mark.parametrize("make", [pipe, unix_socket, endless])
def test_what_is_no_file_in_the_place_of_a_description_is_not_waited_for(
    weights: Path, file: str, make: Callable[[Path], None]
) -> None:
    (weights / file).unlink(missing_ok=True)
    make(weights / file)
    with pytest.raises(ExportError):
        plan(weights)


def test_what_is_no_file_beside_pieces_is_not_waited_for(weights: Path) -> None:
    (weights / "a-t5/tokenizer.json").unlink()
    (weights / "a-t5/spiece.model").write_bytes(b"pieces")
    pipe(weights / "a-t5/added_tokens.json")
    assert "added_tokens" in refusal(weights, WeightsFileError).what
    (weights / "a-t5/added_tokens.json").unlink()
    assert "spiece" in refusal(weights, WeightsFileError).what


@pytest.mark.parametrize("file", DESCRIPTIONS)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b"[" * 100_000, b'{"a": 1}'])
def test_a_description_that_makes_no_sense_is_refused(
    weights: Path, file: str, content: bytes
) -> None:
    (weights / file).write_bytes(content)
    meant = file.endswith("special_tokens_map.json") and content.startswith(b"{")
    with contextlib.nullcontext() if meant else pytest.raises(ExportError):
        plan(weights)


@pytest.mark.parametrize("content", [[1, 2], 7, torch.zeros(3)])
def test_a_file_without_named_tensors_is_refused(weights: Path, content: object) -> None:
    torch.save(content, weights / FINE_TUNED)
    refusal(weights, WeightsFileError)


@pytest.mark.parametrize("file", PICKLES)
def test_a_missing_file_is_named(weights: Path, file: str) -> None:
    (weights / file).unlink()
    error = refusal(weights, WeightsNotFoundError)
    assert "a-t5" in error.found


@pytest.mark.parametrize(
    "file", [SHARD, "a-t5/tokenizer.json", "a-t5/config.json", "bert-base-uncased/vocab.txt"]
)
def test_a_missing_part_of_a_folder_is_named(weights: Path, file: str) -> None:
    (weights / file).unlink()
    error = refusal(weights, WeightsNotFoundError)
    assert Path(file).name in error.expected


@pytest.mark.parametrize("name", ["nowhere", "weights/2111_checkpoint_best.pth", "empty"])
def test_what_is_no_weights_folder_is_refused(weights: Path, tmp_path: Path, name: str) -> None:
    assert weights.is_dir()
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / name, WeightsNotFoundError)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}', "\0"],
)
def test_an_index_that_makes_no_sense_is_refused(weights: Path, content: str) -> None:
    path = weights / "a-t5/model.safetensors.index.json"
    path.write_text(content, encoding="utf-8")
    assert path.name in refusal(weights, WeightsFileError).what


def test_the_fine_tuned_file_overrides_every_other(weights: Path) -> None:
    plain = load_everything(weights)
    tuned = {
        "query_tokens": torch.full((1, 11, 36), 2.0),
        "ln_vision.bias": torch.full((40,), 3.0),
        "t5_proj.bias": torch.full((28,), 4.0),
        "multi_label_classifier.head.bias": torch.full((7,), 5.0),
        "visual_encoder.blocks.0.attn.q_bias": torch.full((40,), 6.0),
    }
    edit(weights / FINE_TUNED, lambda state: state.update(tuned))
    stages = load_everything(weights)
    assert (stages["qformer"].query_tokens == 2).all()
    assert (stages["vision_encoder"].ln_vision.bias == 3).all()
    assert (stages["language_encoder"].t5_proj.bias == 4).all()
    assert (stages["forgery_prompter"].head.bias == 5).all()
    assert (stages["vision_encoder"].blocks[0].attn.q_bias == 6).all()
    before, after = plain["qformer"].state_dict(), stages["qformer"].state_dict()
    assert [name for name in before if not before[name].equal(after[name])] == ["query_tokens"]


def test_what_the_vision_file_holds_beyond_its_depth_is_ignored(weights: Path) -> None:
    before = load_everything(weights)["vision_encoder"].state_dict()

    def add(state: dict[str, Tensor]) -> None:
        last = {name: value for name, value in state.items() if name.startswith("blocks.1.")}
        for name, value in last.items():
            state[name.replace("blocks.1.", "blocks.2.")] = torch.full_like(value, torch.nan)
        state["norm.weight"] = torch.full((40,), torch.nan)
        state["head.weight"] = torch.full((9, 40), torch.nan)

    dead = len(planned_dead(weights))
    edit(weights / VISION, add)
    after = load_everything(weights)["vision_encoder"].state_dict()
    assert all(before[name].equal(after[name]) for name in before)
    names = planned_dead(weights)
    assert len(names) == dead + 13 + 2
    assert "visual_encoder.blocks.2.attn.qkv.weight" in names


def planned_dead(weights: Path) -> list[str]:
    planned = plan(weights)
    planned.token_embeddings()
    for stage in planned.stages:
        stage.load()
    return planned.checkpoint.dead


def test_the_language_model_is_rounded_to_bfloat16_and_its_bridge_is_not(weights: Path) -> None:
    stages = load_everything(weights)
    for stage in ("language_encoder", "language_decoder"):
        for name, value in stages[stage].named_parameters():
            if not name.startswith("t5_proj."):
                assert value.equal(value.bfloat16().float()), name
    bridge = stages["language_encoder"].t5_proj.weight
    assert not bridge.equal(bridge.bfloat16().float())
