"""A bundle whose manifest and hashes are right and whose files are too small to mean anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILES = {
    "golden/picture.png": b"picture" * 90,
    "golden/tensors.npz": b"tensors",
    "language/qformer_tokenizer.json": b"{}",
    "language/token_embeddings.npy": bytes(range(256)) * 5,
    "language/tokenizer.json": b"{ }",
} | {
    f"graphs/{stage}.onnx": stage.encode() * 40
    for stage in (
        "vision_encoder", "forgery_prompter", "mask_decoder",
        "qformer", "language_encoder", "language_decoder",
    )
}  # fmt: skip


def manifest() -> dict[str, Any]:
    """Return a manifest of version 1 with every field, as JSON values."""
    return {
        "manifest_version": 1,
        "name": "tiny",
        "created_by": "a test",
        "licence": "none",
        "labels": ["eye", "nose", "lip"],
        "region_threshold": 0.5,
        "mask_threshold": 0.5,
        "mask_size": 8,
        "region_tokens": 3,
        "framing": "picture",
        "preprocessing": {"size": 8, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        **_words(),
        "score": {
            "tensor": "region_logits",
            "temperature": 1.0,
            "bias": 0.0,
            "operating_points": {"balanced": 0.5},
            "default": "balanced",
        },
        "stages": _stages(),
        "golden_picture": "golden/picture.png",
        "golden_tensors": "golden/tensors.npz",
        "text_gate": None,
        "gate": [
            {"stage": "qformer", "tensor": "qformer_output", "max_absolute": 0.0, "relative": 0.0}
        ],
        "dead_tensors": 0,
        "limits": ["It knows nothing."],
        "files": {name: _entry(content) for name, content in FILES.items()},
    }


def _words() -> dict[str, Any]:
    """Return the fields about the prompt and the language model."""
    return {
        "prompt": {"with_regions": "Look at {regions}.", "without_regions": "Look."},
        "qformer_tokenizer": {"file": "language/qformer_tokenizer.json", "max_tokens": 9},
        "language_tokenizer": {"file": "language/tokenizer.json", "max_tokens": 9},
        "language": {
            "token_embeddings": "language/token_embeddings.npy",
            "layers": 1,
            "heads": 2,
            "d_kv": 3,
            "vocabulary": 5,
            "start_token": 0,
            "end_token": 1,
            "clean_up_spaces": True,
        },
        "generation": {
            "beams": 1,
            "max_new_tokens": 9,
            "min_length": 5,
            "repetition_penalty": 1.5,
            "length_penalty": 1.0,
        },
    }


def _stages() -> dict[str, Any]:
    """Return the stages; the decoder has one layer."""
    encoder = [f"past_key_values.0.encoder.{part}" for part in ("key", "value")]
    decoder = [f"past_key_values.0.decoder.{part}" for part in ("key", "value")]
    present = [f"present.0.decoder.{part}" for part in ("key", "value")]
    steps = ["inputs_embeds", "slot_mapping", "cache_indirection"]
    tensors = {
        "vision_encoder": (["pixel_values"], ["image_embeds"]),
        "forgery_prompter": (["pixel_values"], ["region_logits"]),
        "mask_decoder": (["image_embeds", "region_embeds"], ["mask_logits"]),
        "qformer": (["image_embeds", "qformer_ids"], ["qformer_output"]),
        "language_encoder": (["qformer_output", "prompt_embeds"], ["encoder_output", *encoder]),
        "language_decoder": ([*steps, *decoder, *encoder], ["logits", *present]),
    }
    return {
        stage: {
            "graph": f"graphs/{stage}.onnx",
            "precision": "float32",
            "inputs": inputs,
            "outputs": outputs,
        }
        for stage, (inputs, outputs) in tensors.items()
    }


def write(
    root: Path,
    change: Callable[[dict[str, Any]], object] = lambda _: None,
    files: dict[str, bytes] | None = None,
) -> Path:
    """Write the bundle at `root`, with `files` of one's own and hashes for them, and return `root`.

    `change` is given the manifest before it is written.
    """
    contents = FILES | (files or {})
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    described = manifest() | {"files": {name: _entry(one) for name, one in contents.items()}}
    change(described)
    (root / "manifest.json").write_text(json.dumps(described), encoding="utf-8")
    return root


def _entry(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
