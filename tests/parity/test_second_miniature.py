"""A model of other dimensions everywhere, against independent implementations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second_miniature
import torch
from second_miniature import ARCHITECTURE, LANGUAGE
from torch import Tensor, nn

import ftsdk
from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.manifest import Manifest


@pytest.fixture(scope="module")
def analyzer(second_bundle: Path) -> Iterator[Analyzer]:
    with Analyzer(second_bundle, device="cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def manifest(second_bundle: Path) -> Manifest:
    return open_bundle(second_bundle).manifest


@pytest.fixture(scope="module")
def trace(analyzer: Analyzer, face: Path) -> dict[str, Any]:
    return analyzer.trace(face, ["iris", "left ear"])


@pytest.fixture(scope="module")
def blip(second_weights: Path) -> dict[str, Tensor]:
    """What the InstructBLIP file holds."""
    whole = torch.load(second_weights / "instruct_blip_flanxl_trimmed.pth", weights_only=True)
    tensors: dict[str, Tensor] = whole["model"]
    return tensors


def require_close(found: np.ndarray, expected: Tensor) -> None:
    wanted = expected.numpy().astype(np.float64)
    assert found.shape == wanted.shape
    difference = found - wanted
    assert np.abs(difference).max() <= 1e-4
    assert np.linalg.norm(difference) <= 1e-5 * np.linalg.norm(wanted)


def filled(model: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """Load every parameter of `model`; nothing may be missing."""
    missing, _ = model.load_state_dict(state, strict=False)
    assert missing == []
    return model.eval()


def test_every_dimension_is_the_architecture_s(trace: dict[str, Any], manifest: Manifest) -> None:
    assert manifest.labels == ARCHITECTURE.labels
    assert manifest.preprocessing.size == 100
    assert trace["pixel_values"].shape == (1, 3, 100, 100)
    assert trace["image_embeds"].shape == (1, 1 + 6 * 6, 40)
    assert trace["region_logits"].shape == (1, 7)
    assert trace["region_embeds"].shape == (1, 9, 28)
    assert trace["mask_logits"].shape == (1, 40, 40)
    assert trace["qformer_output"].shape == (1, 11, 36)
    assert trace["prompt_ids"].shape[1] <= 70
    assert trace["past_key_values.0.encoder.key"].shape[:3] == (1, 3, 6)
    assert manifest.language.layers == 1
    assert manifest.language.vocabulary == 310


def test_the_whole_answer(analyzer: Analyzer, face: Path) -> None:
    result = analyzer.analyze(face, regions=["left ear"])
    assert [region.name for region in result.regions] == ["left ear"]
    assert result.mask.shape == (90, 120)
    assert result.report
    events = list(analyzer.stream(face))
    assert isinstance(events[-1], ftsdk.Finished)


def test_the_vision_encoder_is_eva(second_weights: Path, trace: dict[str, Any]) -> None:
    from transformers import InstructBlipVisionConfig, InstructBlipVisionModel

    dims = ARCHITECTURE.vision_encoder
    config = InstructBlipVisionConfig(
        hidden_size=dims.width,
        intermediate_size=dims.mlp_hidden,
        num_hidden_layers=dims.depth,
        num_attention_heads=dims.heads,
        image_size=96,  # what the convolution sees of 100 px
        patch_size=dims.patch_size,
        hidden_act="gelu",
        layer_norm_eps=dims.layer_norm_eps,
    )
    path = second_weights / "bert-base-uncased/eva_vit_g.pth"
    eva = {k: v.float() for k, v in torch.load(path, weights_only=True)["model"].items()}
    blip = torch.load(second_weights / "instruct_blip_flanxl_trimmed.pth", weights_only=True)
    state = {
        "embeddings.class_embedding": eva["cls_token"],
        "embeddings.position_embedding": eva["pos_embed"],
        "embeddings.patch_embedding.weight": eva["patch_embed.proj.weight"],
        "embeddings.patch_embedding.bias": eva["patch_embed.proj.bias"],
        "post_layernorm.weight": blip["model"]["ln_vision.weight"],
        "post_layernorm.bias": blip["model"]["ln_vision.bias"],
    }
    for name, value in eva.items():
        if name.startswith("blocks."):
            renamed = name.replace("blocks.", "encoder.layers.").replace(".attn.", ".self_attn.")
            renamed = renamed.replace(".norm", ".layer_norm").replace(".proj.", ".projection.")
            state[renamed] = value
    for layer in range(dims.depth):
        attention = f"encoder.layers.{layer}.self_attn."
        q, v = state.pop(attention + "q_bias"), state.pop(attention + "v_bias")
        state[attention + "qkv.bias"] = torch.cat((q, torch.zeros_like(q), v))
    model = filled(InstructBlipVisionModel(config), state)
    model.post_layernorm.eps = 1e-5
    with torch.inference_mode():
        pixels = torch.from_numpy(trace["pixel_values"])[..., :96, :96]
        require_close(trace["image_embeds"], model(pixels).last_hidden_state)


def test_the_qformer_is_instructblip_s(blip: dict[str, Tensor], trace: dict[str, Any]) -> None:
    from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

    dims = ARCHITECTURE.qformer
    config = InstructBlipQFormerConfig(
        vocab_size=210,
        hidden_size=dims.width,
        num_hidden_layers=dims.depth,
        num_attention_heads=dims.heads,
        intermediate_size=dims.mlp_hidden,
        hidden_act="gelu",
        max_position_embeddings=90,
        layer_norm_eps=dims.layer_norm_eps,
        cross_attention_frequency=dims.cross_attention_every,
        encoder_hidden_size=ARCHITECTURE.vision_encoder.width,
    )
    state = {}
    for name, value in blip.items():
        renamed = name.removeprefix("Qformer.bert.").replace(".self.", ".attention.")
        state[renamed.replace("embeddings.LayerNorm", "embeddings.layernorm")] = value
    # Nobody reads the text after the last layer, so a file need not hold its feed-forward.
    last = f"encoder.layer.{dims.depth - 1}."
    model = InstructBlipQFormerModel(config)
    state |= {k: v for k, v in model.state_dict().items() if k.startswith(last) and k not in state}
    state |= {k: v for k, v in model.state_dict().items() if k.endswith("position_ids")}
    ids = torch.from_numpy(trace["qformer_ids"])
    queries = blip["query_tokens"]
    with torch.inference_mode():
        output = filled(model, state)(
            input_ids=ids,
            query_embeds=queries,
            attention_mask=torch.ones(1, queries.shape[1] + ids.shape[1]),
            encoder_hidden_states=torch.from_numpy(trace["image_embeds"]),
        )
    soft = output.last_hidden_state[:, : queries.shape[1]]
    require_close(trace["qformer_output"], soft)


@pytest.fixture(scope="module")
def tuned(second_weights: Path) -> dict[str, Tensor]:
    """What the fine-tuned file holds."""
    whole = torch.load(second_weights / "2111_checkpoint_best.pth", weights_only=True)
    tensors: dict[str, Tensor] = whole["model"]
    return tensors


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def perceptron(tensors: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Three linear layers with ReLU between."""
    for layer in range(3):
        tokens = nn.functional.relu(tokens) if layer else tokens
        weight, bias = tensors[f"layers.{layer}.weight"], tensors[f"layers.{layer}.bias"]
        tokens = nn.functional.linear(tokens, weight, bias)
    return tokens


def test_the_mask_decoder_is_sam_s(tuned: dict[str, Tensor], trace: dict[str, Any]) -> None:
    """In the dear order of the last product, and with random weights where ours says none count."""
    from transformers.models.sam.configuration_sam import SamMaskDecoderConfig
    from transformers.models.sam.modeling_sam import SamAttention, SamTwoWayTransformer

    dims, width = ARCHITECTURE.mask_decoder, ARCHITECTURE.vision_encoder.width
    config = SamMaskDecoderConfig(
        hidden_size=width,
        num_hidden_layers=dims.depth,
        num_attention_heads=dims.heads,
        mlp_dim=dims.mlp_hidden,
        attention_downsample_rate=dims.cross_attention_downsample,
        layer_norm_eps=1e-5,
        hidden_act="relu",
    )
    config._attn_implementation = "eager"
    two_way = SamTwoWayTransformer(config)
    for layer in two_way.layers:  # they ignore the configured rate
        layer.cross_attn_token_to_image = SamAttention(config)
        layer.cross_attn_image_to_token = SamAttention(config)
    state = {}
    for name, value in below(tuned, "mask_decoder.transformer.").items():
        renamed = name.replace("norm_final_attn", "layer_norm_final_attn")
        state[re.sub(r"\.norm(\d)\.", r".layer_norm\1.", renamed)] = value
    missing, unexpected = two_way.load_state_dict(state, strict=False)
    assert unexpected == []
    assert missing
    assert all(re.search(r"(self_attn|image_to_token)\.[qk]_proj", name) for name in missing)
    attention = nn.MultiheadAttention(width, dims.prompt_cross_attention_heads, batch_first=True)
    filled(attention, below(tuned, "cross_attention_layer."))
    image = torch.from_numpy(trace["image_embeds"])
    prompt = nn.functional.linear(
        torch.from_numpy(trace["region_embeds"]),
        tuned["prompt_proj.weight"],
        tuned["prompt_proj.bias"],
    )
    with torch.inference_mode():
        prompt, _ = attention(prompt, image[:, 1:], image[:, 1:])
        tokens = torch.cat((image[:, :1], prompt), dim=1).transpose(1, 2)[:, :, None]
        query = tuned["mask_decoder.mask_tokens"][None]
        mask_token, keys = two_way.eval()(query, tokens, tokens, attention_similarity=None)[:2]
        pixels = perceptron(below(tuned, "mask_decoder.output_upscaling_mlp."), keys)
        hyper = perceptron(below(tuned, "mask_decoder.output_hypernetworks_mlps."), mask_token)
        logits = (hyper @ pixels).reshape(1, ARCHITECTURE.mask_size, ARCHITECTURE.mask_size)
    require_close(trace["mask_logits"], logits)


def test_the_forgery_prompter_is_its_description(
    second_weights: Path, trace: dict[str, Any]
) -> None:
    """A pre-norm transformer of PyTorch's own layers, joined by the two convolution branches."""
    (path,) = second_weights.glob("ViT-H_14*/*.bin")
    given = torch.load(path, weights_only=True)
    dims, size = ARCHITECTURE.forgery_prompter, ARCHITECTURE.image_size
    with torch.inference_mode():
        pixels = torch.from_numpy(trace["pixel_values"])
        ramp = torch.linspace(-1, 1, size)
        rows, columns = torch.meshgrid(ramp, ramp, indexing="ij")
        pair = torch.stack((rows, columns))[None]
        first = convolved(given, "coord_conv_branch.0.conv", torch.cat((pixels, pair, pair), 1), 1)
        first = nn.functional.leaky_relu(normalised(given, "coord_conv_branch.1", first), 0.01)
        first = nn.functional.max_pool2d(first, 2)
        second = convolved(given, "conv_branch2.0", first, 2)
        second = nn.functional.relu(normalised(given, "conv_branch2.1", second))
        second = nn.functional.max_pool2d(second, 2)
        embed = below(given, "transformer.embeddings.")
        kernel, bias = embed["patch_embeddings.weight"], embed["patch_embeddings.bias"]
        patches = nn.functional.conv2d(pixels, kernel, bias, stride=dims.patch_size).flatten(2)
        tokens = torch.cat((embed["cls_token"], patches.transpose(1, 2)), 1)
        tokens = tokens + embed["position_embeddings"]
        for layer in range(dims.depth):
            branch = (first, second)[layer].flatten(2)
            pooled = nn.functional.adaptive_avg_pool1d(branch, patches.shape[2])
            tokens = tokens + nn.functional.pad(pooled.transpose(1, 2), (0, 0, 1, 0))
            tokens = block(below(given, f"transformer.encoder.layer.{layer}."))(tokens)
        cls = nn.functional.layer_norm(
            tokens[:, 0],
            (dims.width,),
            given["transformer.encoder.encoder_norm.weight"],
            given["transformer.encoder.encoder_norm.bias"],
            dims.layer_norm_eps,
        )
        expected = nn.functional.linear(cls, given["head.weight"], given["head.bias"])
    require_close(trace["region_logits"], expected)


def convolved(given: dict[str, Tensor], name: str, x: Tensor, padding: int) -> Tensor:
    weight, bias = given[f"{name}.weight"], given[f"{name}.bias"]
    return nn.functional.conv2d(x, weight, bias, stride=2, padding=padding)


def normalised(given: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    names = ("running_mean", "running_var", "weight", "bias")
    return nn.functional.batch_norm(x, *(given[f"{name}.{part}"] for part in names), eps=1e-5)


def block(given: dict[str, Tensor]) -> nn.Module:
    dims = ARCHITECTURE.forgery_prompter
    layer = nn.TransformerEncoderLayer(
        dims.width,
        dims.heads,
        dims.mlp_hidden,
        activation="gelu",
        layer_norm_eps=dims.layer_norm_eps,
        batch_first=True,
        norm_first=True,
    )
    state = {
        f"self_attn.in_proj_{kind}": torch.cat(
            [given[f"attn.{part}.{kind}"] for part in ("query", "key", "value")]
        )
        for kind in ("weight", "bias")
    }
    names = {
        "attn.out": "self_attn.out_proj",
        "ffn.fc1": "linear1",
        "ffn.fc2": "linear2",
        "attention_norm": "norm1",
        "ffn_norm": "norm2",
    }
    for ours, theirs in names.items():
        state |= {f"{theirs}.{kind}": given[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    return filled(layer, state)


@pytest.fixture(scope="module")
def t5(second_weights: Path) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        d_model=LANGUAGE.d_model,
        d_kv=LANGUAGE.d_kv,
        d_ff=LANGUAGE.d_ff,
        num_heads=LANGUAGE.heads,
        num_layers=LANGUAGE.encoder_layers,
        num_decoder_layers=LANGUAGE.decoder_layers,
        vocab_size=LANGUAGE.vocabulary,
        relative_attention_num_buckets=LANGUAGE.buckets,
        relative_attention_max_distance=LANGUAGE.max_distance,
        layer_norm_epsilon=LANGUAGE.layer_norm_eps,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
    )
    config.dense_act_fn, config.tie_word_embeddings = "gelu", False
    config.scale_decoder_outputs = False
    state = second_miniature.t5_tensors(second_weights)
    tables = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    return filled(
        T5ForConditionalGeneration(config), state | dict.fromkeys(tables, state["shared.weight"])
    )


@pytest.fixture(scope="module")
def inputs_embeds(t5: Any, blip: dict[str, Tensor], trace: dict[str, Any]) -> Tensor:
    """Soft tokens, then the prompt's embeddings."""
    soft = torch.from_numpy(trace["qformer_output"])
    soft = nn.functional.linear(soft, blip["t5_proj.weight"], blip["t5_proj.bias"])
    with torch.inference_mode():
        return torch.cat((soft, t5.shared(torch.from_numpy(trace["prompt_ids"]))), dim=1)


def test_the_language_encoder_is_t5(t5: Any, inputs_embeds: Tensor, trace: dict[str, Any]) -> None:
    with torch.inference_mode():
        expected = t5.encoder(inputs_embeds=inputs_embeds).last_hidden_state
    require_close(trace["encoder_output"], expected)


@pytest.mark.parametrize(
    "language",
    [
        ftsdk.Language(max_new_tokens=40),
        ftsdk.Language(max_new_tokens=25, min_length=20, repetition_penalty=1.0),
        ftsdk.Language(max_new_tokens=40, repetition_penalty=3.0),
        # At length penalty 0 the releases of Transformers agree on a beam's score.
        ftsdk.Language(max_new_tokens=20, beams=3, length_penalty=0.0),
        ftsdk.Language(max_new_tokens=20, beams=5, length_penalty=0.0, repetition_penalty=1.0),
    ],
    ids=str,
)
def test_reports_are_those_of_transformers(
    t5: Any, analyzer: Analyzer, face: Path, inputs_embeds: Tensor, language: ftsdk.Language
) -> None:
    with torch.inference_mode():
        expected = t5.generate(
            inputs_embeds=inputs_embeds,
            attention_mask=torch.ones(inputs_embeds.shape[:2], dtype=torch.int64),
            do_sample=False,
            num_beams=language.beams,
            max_new_tokens=language.max_new_tokens,
            min_length=language.min_length,
            repetition_penalty=language.repetition_penalty,
            length_penalty=language.length_penalty,
            eos_token_id=1,
            pad_token_id=0,
        )
    found = analyzer.trace(face, ["iris", "left ear"], language)["report_ids"]
    np.testing.assert_array_equal(found, expected.numpy())
