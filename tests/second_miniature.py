"""A model that shares no dimension with the parity miniature, in the published layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ft_export.model.architecture import (
    ForgeryTalkerArchitecture,
    LanguageFolder,
    MaskDecoder,
    QFormer,
    VisionTransformer,
)
from ft_export.model.language import LanguageDims
from ft_export.weights.random_model import RandomModel, write_weights

ARCHITECTURE = ForgeryTalkerArchitecture(
    image_size=100,
    mask_size=40,
    labels=("brow", "iris", "left ear", "tip", "gum", "jowl", "lash"),
    vision_encoder=VisionTransformer(
        width=40, depth=2, heads=5, mlp_hidden=97, patch_size=16, layer_norm_eps=1e-4
    ),
    forgery_prompter=VisionTransformer(
        width=24, depth=2, heads=3, mlp_hidden=52, patch_size=12, layer_norm_eps=1e-3
    ),
    qformer=QFormer(
        width=36,
        depth=3,
        heads=3,
        mlp_hidden=50,
        queries=11,
        cross_attention_every=1,
        layer_norm_eps=1e-6,
        max_text_tokens=70,
    ),
    mask_decoder=MaskDecoder(
        depth=1,
        heads=2,
        mlp_hidden=33,
        prompt_tokens=9,
        prompt_cross_attention_heads=4,
        cross_attention_downsample=4,
    ),
    language_model=LanguageFolder(folder="a-t5"),
)
LANGUAGE = LanguageDims(
    d_model=28,
    d_kv=6,
    d_ff=44,
    heads=3,
    encoder_layers=3,
    decoder_layers=1,
    vocabulary=310,
    buckets=16,
    max_distance=40,
    layer_norm_eps=1e-5,
)
T5 = "a-t5"


def write(folder: Path, seed: int = 5) -> Path:
    """Write the folder: the vision file beside the vocabulary, and the T5 in three shards."""
    model = RandomModel(ARCHITECTURE, LANGUAGE, vocabulary=210, positions=90, seed=seed)
    write_weights(model, folder, lambda _: None)
    (folder / "eva_vit_g.pth").rename(folder / "bert-base-uncased" / "eva_vit_g.pth")
    _shard(folder / T5, 3)
    architecture = folder.with_suffix(".json")
    architecture.write_text(ARCHITECTURE.model_dump_json(), encoding="utf-8")
    return folder


def _shard(folder: Path, count: int) -> None:
    (whole,) = folder.glob("*.safetensors")
    # Values between two bfloat16 ones, which the export must round as the authors do.
    tensors = {name: value.float() * 1.001 for name, value in load_file(whole).items()}
    whole.unlink()
    names = [f"model-{index + 1:05d}-of-{count:05d}.safetensors" for index in range(count)]
    homes = {name: names[index % count] for index, name in enumerate(tensors)}
    for shard in names:
        save_file({name: tensors[name] for name in tensors if homes[name] == shard}, folder / shard)
    index = {"metadata": {}, "weight_map": homes}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def architecture_file(folder: Path) -> Path:
    """Return the JSON description that lies beside `folder`."""
    return folder.with_suffix(".json")


def t5_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return the T5's tensors, rounded to bfloat16 as the authors hold them, in float32."""
    shards = sorted((folder / T5).glob("*.safetensors"))
    tensors = {name: value for shard in shards for name, value in load_file(shard).items()}
    return {name: value.bfloat16().float() for name, value in tensors.items()}
