"""Flan-T5 in Hugging Face layout: dimensions, tensors, stages."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from ft_export.model.language import LanguageDecoder, LanguageDims, LanguageEncoder
from ft_export.tensors import Checkpoint, LazyTensors, load_module, read_tensors
from ftsdk.errors import ArchitectureError, WeightsNotFoundError

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
        return bool(json.loads(config.read_text(encoding="utf-8")).get("model_type") == "t5")
    except (OSError, ValueError):
        return False


def read_language_dims(folder: Path) -> LanguageDims:
    """Return the dimensions in the folder's config.json.

    Raises:
        ArchitectureError: a field is missing, or it is no gated T5 with its own output matrix.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    gated = str(config.get("feed_forward_proj", "")).startswith("gated")
    if not gated or config.get("tie_word_embeddings", True):
        raise _config_error(folder, "a gated feed-forward and untied embeddings, as in Flan-T5")
    try:
        return LanguageDims(
            d_model=config["d_model"],
            d_kv=config["d_kv"],
            d_ff=config["d_ff"],
            heads=config["num_heads"],
            encoder_layers=config["num_layers"],
            decoder_layers=config.get("num_decoder_layers") or config["num_layers"],
            vocabulary=config["vocab_size"],
            buckets=config.get("relative_attention_num_buckets", 32),
            max_distance=config.get("relative_attention_max_distance", 128),
            layer_norm_eps=config.get("layer_norm_epsilon", 1e-6),
        )
    except KeyError as error:
        raise _config_error(folder, f"the field {error}") from error


def _config_error(folder: Path, expected: str) -> ArchitectureError:
    return ArchitectureError(
        f"{folder / 'config.json'} describes another model",
        expected=expected,
        found="something else",
        cure="use the Flan-T5 folder that belongs to these weights",
    )


def read_language_tensors(folder: Path) -> LazyTensors:
    """Return every tensor of the folder's shards under the prefix `t5_model.`.

    Raises:
        WeightsNotFoundError: there are no shards, or one that the index names is missing.
    """
    shards = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    present = {shard.name for shard in shards}
    suffix = shards[0].suffix if shards else ".bin"
    missing = set() if shards else {"*.safetensors or pytorch_model*.bin"}
    for index in folder.glob(f"*{suffix}.index.json"):
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        missing |= set(named) - present
    if missing:
        raise WeightsNotFoundError(
            f"{folder} is incomplete",
            expected=", ".join(sorted(missing)),
            found=", ".join(sorted(present)) or "no weight file",
            cure="download the missing files again",
        )
    return {PREFIX + name: read for shard in shards for name, read in read_tensors(shard).items()}


def bfloat16_rounded(tensor: Tensor) -> Tensor:
    """Return float32 values as the authors hold them: rounded to bfloat16."""
    return tensor.to(torch.bfloat16).float()


def token_embeddings(checkpoint: Checkpoint) -> Tensor:
    """Return the input embedding table [vocabulary, d_model] bfloat16."""
    shared, encoder = f"{PREFIX}shared.weight", f"{PREFIX}encoder.embed_tokens.weight"
    name = shared if shared in checkpoint or encoder not in checkpoint else encoder
    return checkpoint.tensor(name).to(torch.bfloat16)


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


def load_language_decoder(checkpoint: Checkpoint, dims: LanguageDims) -> LanguageDecoder:
    """Return the decoder stage in float32."""
    with torch.device("meta"):
        module = LanguageDecoder(dims)
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
