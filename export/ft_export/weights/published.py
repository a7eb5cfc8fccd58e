"""The published folder as it is downloaded: which file wins, and what each tensor is called.

Every tensor gets the name that it has in the authors' whole model, so that the fine-tuned file
overrides the others by name: `visual_encoder.`, `multi_label_classifier.`, `t5_model.`.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from ft_export.errors import WeightsNotFoundError
from ft_export.model.architecture import ForgeryTalkerArchitecture
from ft_export.model.forgery_prompter import ForgeryPrompter
from ft_export.model.layers import Stage
from ft_export.model.mask_decoder import MaskDecoder
from ft_export.model.qformer import QFormer
from ft_export.model.vision_encoder import VisionEncoder
from ft_export.weights.language_folder import find_language_folder, read_language_tensors
from ft_export.weights.tensors import Checkpoint, LazyTensors, load_module, read_tensors

VISION, PROMPTER = "visual_encoder.", "multi_label_classifier."
_QFORMER = "Qformer.bert."


def open_published(weights: Path, architecture: ForgeryTalkerArchitecture) -> Checkpoint:
    """Open the published layout; later files override earlier ones by tensor name.

    Raises:
        WeightsNotFoundError: a file of the layout is missing.
    """
    if not weights.is_dir():
        raise _missing(weights, "a folder in the published layout")
    tensors: LazyTensors = read_language_tensors(
        find_language_folder(weights, architecture.language_model.folder)
    )
    vision = _find(weights, "eva_vit_g.*", "bert-base-uncased/eva_vit_g.*")
    tensors |= _prefixed(read_tensors(vision), VISION)
    tensors |= read_tensors(_find(weights, "instruct_blip_*"))
    tensors |= _prefixed(read_tensors(_find(weights, "ViT-H_14*/*")), PROMPTER)
    tensors |= read_tensors(_find(weights, "*checkpoint_best.*"))
    return Checkpoint(tensors)


def _find(weights: Path, *patterns: str) -> Path:
    for pattern in patterns:
        for path in sorted(weights.glob(pattern)):
            if path.suffix in (".pth", ".bin", ".safetensors"):
                return path
    raise _missing(weights, " or ".join(patterns))


def _missing(weights: Path, expected: str) -> WeightsNotFoundError:
    found = ", ".join(sorted(path.name for path in weights.iterdir())) if weights.is_dir() else ""
    return WeightsNotFoundError(
        f"{weights} lacks a file of the published layout",
        expected=expected,
        found=found or "no such folder",
        cure="run the authors' download script again and pass the folder it made",
    )


def _prefixed(tensors: LazyTensors, prefix: str) -> LazyTensors:
    return {prefix + name: read for name, read in tensors.items()}


def load_vision_encoder(checkpoint: Checkpoint, architecture: ForgeryTalkerArchitecture) -> Stage:
    """Return the vision encoder stage in float32."""
    with torch.device("meta"):
        module = VisionEncoder(architecture)
    return load_module(module, checkpoint, vision_name)


def vision_name(name: str) -> str:
    """Return the published name of a `VisionEncoder` parameter."""
    if name.startswith("ln_vision."):
        return name
    return VISION + name.replace("embed.proj.", "patch_embed.proj.").removeprefix("embed.")


def load_forgery_prompter(checkpoint: Checkpoint, architecture: ForgeryTalkerArchitecture) -> Stage:
    """Return the forgery prompter stage in float32."""
    with torch.device("meta"):
        module = ForgeryPrompter(architecture)
    return load_module(module, checkpoint, prompter_name)


_PROMPTER_NAMES = (
    (r"^embed\.proj\.", "transformer.embeddings.patch_embeddings."),
    (r"^embed\.pos_embed$", "transformer.embeddings.position_embeddings"),
    (r"^embed\.", "transformer.embeddings."),
    (r"^branch1\.conv\.", "coord_conv_branch.0.conv."),
    (r"^branch1\.norm\.", "coord_conv_branch.1."),
    (r"^branch2\.conv\.", "conv_branch2.0."),
    (r"^branch2\.norm\.", "conv_branch2.1."),
    (r"^blocks\.", "transformer.encoder.layer."),
    (r"^norm\.", "transformer.encoder.encoder_norm."),
)


def load_mask_decoder(
    checkpoint: Checkpoint, architecture: ForgeryTalkerArchitecture, d_model: int
) -> Stage:
    """Return the mask decoder stage in float32."""
    with torch.device("meta"):
        module = MaskDecoder(architecture, d_model)
    return load_module(module, checkpoint, mask_name)


_MASK_NAMES = (
    (r"^(layers|final_attn_token_to_image|norm_final_attn)\.", r"mask_decoder.transformer.\1."),
    (r"^(mask_tokens|output_)", r"mask_decoder.\1"),
)


def load_qformer(checkpoint: Checkpoint, architecture: ForgeryTalkerArchitecture) -> Stage:
    """Return the Q-Former stage in float32; its tables' lengths are read from the file."""
    vocabulary, positions = (
        checkpoint.tensor(f"{_QFORMER}embeddings.{table}_embeddings.weight").shape[0]
        for table in ("word", "position")
    )
    with torch.device("meta"):
        module = QFormer(architecture, vocabulary, positions)
    return load_module(module, checkpoint, qformer_name)


_LAYER = r"^layers\.(\d+)\."
_QFORMER_NAMES = (
    (r"^(word_embeddings|position_embeddings|LayerNorm)\.", rf"{_QFORMER}embeddings.\1."),
    (_LAYER + r"(attention|crossattention)\.output\.", rf"{_QFORMER}encoder.layer.\1.\2.output."),
    (_LAYER + r"(attention|crossattention)\.", rf"{_QFORMER}encoder.layer.\1.\2.self."),
    (_LAYER + r"feed_forward_query\.intermediate\.",
     rf"{_QFORMER}encoder.layer.\1.intermediate_query.dense."),
    (_LAYER + r"feed_forward_query\.output\.", rf"{_QFORMER}encoder.layer.\1.output_query."),
    (_LAYER + r"feed_forward_text\.intermediate\.",
     rf"{_QFORMER}encoder.layer.\1.intermediate.dense."),
    (_LAYER + r"feed_forward_text\.", rf"{_QFORMER}encoder.layer.\1."),
)  # fmt: skip


def prompter_name(name: str) -> str:
    """Return the published name of a `ForgeryPrompter` parameter."""
    return PROMPTER + _renamed(name, _PROMPTER_NAMES)


def mask_name(name: str) -> str:
    """Return the published name of a `MaskDecoder` parameter."""
    return _renamed(name, _MASK_NAMES)


def qformer_name(name: str) -> str:
    """Return the published name of a `QFormer` parameter."""
    return _renamed(name, _QFORMER_NAMES)


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name
