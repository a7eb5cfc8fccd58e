"""Flan-T5 in Hugging Face layout: dimensions, tensors, stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from torch import Tensor

from ft_export.errors import ArchitectureError, WeightsNotFoundError
from ft_export.model.language import LanguageDecoder, LanguageDims, LanguageEncoder
from ft_export.weights.reading import parsed
from ft_export.weights.tensors import (
    Checkpoint,
    LazyTensors,
    load_module,
    read_tensors,
    require_shape,
)
from ftsdk.files import read_regular
from ftsdk.text import problems

PREFIX = "t5_model."


def find_language_folder(weights: Path, folder: str | None) -> Path:
    """Return the T5 folder: the named one, or the only one whose config.json says T5.

    Raises:
        WeightsNotFoundError: there is none, or more than one.
    """
    candidates = [weights / folder] if folder else sorted(weights.iterdir())
    found = [path for path in candidates if _is_t5(path / "config.json")]
    if len(found) == 1:
        return found[0]
    raise WeightsNotFoundError(
        f"the language model's folder is not clear in {weights}",
        expected=f"{folder or 'one folder'} with a T5 config.json",
        found=", ".join(path.name for path in found) or "none",
        cure="name it in the architecture file: language_model.folder",
    )


def _is_t5(config: Path) -> bool:
    try:
        return bool(json.loads(read_regular(config))["model_type"] == "t5")
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


class _Config(BaseModel):
    """What is read of a Hugging Face config.json; the rest of it does not matter here."""

    model_config = ConfigDict(strict=True)

    d_model: PositiveInt
    d_kv: PositiveInt
    d_ff: PositiveInt
    num_heads: PositiveInt
    num_layers: PositiveInt
    num_decoder_layers: PositiveInt | None = None
    vocab_size: PositiveInt
    relative_attention_num_buckets: PositiveInt = 32
    relative_attention_max_distance: PositiveInt = 128
    layer_norm_epsilon: PositiveFloat = 1e-6
    feed_forward_proj: str = Field(pattern="^gated-")
    tie_word_embeddings: Literal[False]


def read_language_dims(folder: Path) -> LanguageDims:
    """Return the dimensions in the folder's config.json.

    Raises:
        ArchitectureError: a field is missing, or it is no gated T5 with its own output matrix.
    """
    path = folder / "config.json"
    try:
        config = _Config.model_validate_json(read_regular(path))
    except (OSError, ValidationError) as error:
        raise ArchitectureError(
            f"{path} describes another model",
            expected="the dimensions of a gated T5 with untied embeddings, as Flan-T5",
            found=problems(error) if isinstance(error, ValidationError) else str(error),
            cure="use the Flan-T5 folder that belongs to these weights",
        ) from error
    return LanguageDims(
        d_model=config.d_model,
        d_kv=config.d_kv,
        d_ff=config.d_ff,
        heads=config.num_heads,
        encoder_layers=config.num_layers,
        decoder_layers=config.num_decoder_layers or config.num_layers,
        vocabulary=config.vocab_size,
        buckets=config.relative_attention_num_buckets,
        max_distance=config.relative_attention_max_distance,
        layer_norm_eps=config.layer_norm_epsilon,
    )


def config_of(dims: LanguageDims) -> dict[str, Any]:
    """Return the config.json of a gated T5 of these dimensions."""
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "d_model": dims.d_model,
        "d_kv": dims.d_kv,
        "d_ff": dims.d_ff,
        "num_heads": dims.heads,
        "num_layers": dims.encoder_layers,
        "num_decoder_layers": dims.decoder_layers,
        "vocab_size": dims.vocabulary,
        "relative_attention_num_buckets": dims.buckets,
        "relative_attention_max_distance": dims.max_distance,
        "layer_norm_epsilon": dims.layer_norm_eps,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }


def read_language_tensors(folder: Path) -> LazyTensors:
    """Return every tensor of the folder's shards under the prefix `t5_model.`.

    Raises:
        WeightsNotFoundError: there are no shards, or one that the index names is missing.
        WeightsFileError: a shard or the index is damaged.
    """
    shards = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    present = {shard.name for shard in shards}
    suffix = shards[0].suffix if shards else ".bin"
    missing = set() if shards else {"*.safetensors or pytorch_model*.bin"}
    for index in folder.glob(f"*{suffix}.index.json"):
        missing |= _shards_in(index) - present
    if missing:
        raise WeightsNotFoundError(
            f"{folder} is incomplete",
            expected=", ".join(sorted(missing)),
            found=", ".join(sorted(present)) or "no weight file",
            cure="download the missing files again",
        )
    return {PREFIX + name: read for shard in shards for name, read in read_tensors(shard).items()}


def _shards_in(index: Path) -> set[str]:
    kind = "an index of shards: weight_map, from tensor names to file names"
    return set(parsed(index, kind, _Index.model_validate_json).weight_map.values())


class _Index(BaseModel):
    weight_map: dict[str, str]


def bfloat16_rounded(tensor: Tensor) -> Tensor:
    """Return a tensor of any shape as float32, rounded to bfloat16 as the authors hold it."""
    return tensor.to(torch.bfloat16).float()


def token_embeddings(checkpoint: Checkpoint, dims: LanguageDims) -> Tensor:
    """Return the input embedding table [vocabulary, d_model] bfloat16.

    Raises:
        TensorShapeError: the table has another shape.
    """
    shared, encoder = f"{PREFIX}shared.weight", f"{PREFIX}encoder.embed_tokens.weight"
    name = shared if shared in checkpoint or encoder not in checkpoint else encoder
    table = checkpoint.tensor(name)
    require_shape(name, table, (dims.vocabulary, dims.d_model))
    return table.to(torch.bfloat16)


def load_language_encoder(
    checkpoint: Checkpoint, dims: LanguageDims, qformer_width: int
) -> LanguageEncoder:
    """Return the encoder stage in float32; `t5_proj` is the one part that stays unrounded."""
    with torch.device("meta"):
        module = LanguageEncoder(dims, qformer_width)
    load_module(module, checkpoint, encoder_name)
    for name, parameter in module.named_parameters():
        if not name.startswith("t5_proj."):
            parameter.copy_(bfloat16_rounded(parameter))
    return module


def load_language_decoder(
    checkpoint: Checkpoint, dims: LanguageDims, several: bool
) -> LanguageDecoder:
    """Return the decoder stage in float32; `several` as it takes it."""
    with torch.device("meta"):
        module = LanguageDecoder(dims, several)
    load_module(module, checkpoint, decoder_name, bfloat16_rounded)
    return module


def encoder_name(name: str) -> str:
    """Return the published name of a `LanguageEncoder` parameter."""
    if name.startswith("t5_proj."):
        return name
    if name.startswith("cross."):
        _, layer, part, _ = name.split(".")
        return f"{PREFIX}decoder.block.{layer}.layer.1.EncDecAttention.{part}.weight"
    return PREFIX + "encoder." + _block_name(name, feed_forward=1)


def decoder_name(name: str) -> str:
    """Return the published name of a `LanguageDecoder` parameter."""
    if name.startswith("lm_head."):
        return PREFIX + name
    return PREFIX + "decoder." + _block_name(name, feed_forward=2)


def _block_name(name: str, feed_forward: int) -> str:
    if name.startswith("relative_attention_bias."):
        return f"block.0.layer.0.SelfAttention.{name}"
    replacements = (
        (".attention.layer_norm.", ".layer.0.layer_norm."),
        (".attention.", ".layer.0.SelfAttention."),
        (".cross_layer_norm.", ".layer.1.layer_norm."),
        (".cross_", ".layer.1.EncDecAttention."),
        (".feed_forward.layer_norm.", f".layer.{feed_forward}.layer_norm."),
        (".feed_forward.", f".layer.{feed_forward}.DenseReluDense."),
    )
    for ours, published in replacements:
        if ours in name:
            return name.replace(ours, published)
    return name
