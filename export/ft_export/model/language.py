"""Flan-T5 as two graphs: the encoder with the decoder's cross keys and values, and one step.

Tensor names follow Transformers: `past_key_values.{layer}.{encoder|decoder}.{key|value}`.
The decoder's own cache is a table of rows, one row a token: a step writes its rows at
`slot_mapping` and reads each beam's history through `cache_indirection`, so that neither a
longer text nor a reordered beam moves a byte of it. Where a picture may have several faces, a step
writes about all of them: `source_mask` hides what pads a shorter prompt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ft_export.model.layers import Stage, merge_heads, split_heads


@dataclass(frozen=True)
class LanguageDims:
    """What a T5's config.json says of its shape."""

    d_model: int
    d_kv: int
    d_ff: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    buckets: int
    max_distance: int
    layer_norm_eps: float

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.d_kv


def relative_buckets(buckets: int, max_distance: int) -> Tensor:
    """Return T5's bucket of each distance, [max_distance + 1] int64: exact, then logarithmic.

    Raffel et al., "Exploring the Limits of Transfer Learning" (2020), section 2.1. A table, so
    that no runtime's logarithm decides at a bucket's edge; farther distances share the last one.
    """
    exact = buckets // 2
    distance = torch.arange(max_distance + 1, device="cpu")
    ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (ratio * (buckets - exact)).to(torch.int64)).clamp(max=buckets - 1)
    return torch.where(distance < exact, distance, far)


class RmsNorm(nn.Module):
    """T5's LayerNorm: no mean, no bias."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, tokens: Tensor) -> Tensor:
        variance = tokens.pow(2).mean(-1, keepdim=True)
        # A division by the root: the form that ONNX Runtime turns into one operator.
        return self.weight * (tokens / torch.sqrt(variance + self.eps))


class GatedFeedForward(nn.Module):
    """Pre-norm gated GELU (erf, as the authors force it) with its residual."""

    def __init__(self, dims: LanguageDims) -> None:
        super().__init__()
        self.layer_norm = RmsNorm(dims.d_model, dims.layer_norm_eps)
        self.wi_0 = nn.Linear(dims.d_model, dims.d_ff, bias=False)
        self.wi_1 = nn.Linear(dims.d_model, dims.d_ff, bias=False)
        self.wo = nn.Linear(dims.d_ff, dims.d_model, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.layer_norm(tokens)
        return tokens + self.wo(nn.functional.gelu(self.wi_0(normed)) * self.wi_1(normed))


class SelfAttention(nn.Module):
    """Norm and projections of a self-attention."""

    def __init__(self, dims: LanguageDims) -> None:
        super().__init__()
        self.heads = dims.heads
        self.layer_norm = RmsNorm(dims.d_model, dims.layer_norm_eps)
        self.q = nn.Linear(dims.d_model, dims.inner, bias=False)
        self.k = nn.Linear(dims.d_model, dims.inner, bias=False)
        self.v = nn.Linear(dims.d_model, dims.inner, bias=False)
        self.o = nn.Linear(dims.inner, dims.d_model, bias=False)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value, `[B, T, inner]` each."""
        normed = self.layer_norm(tokens)
        return self.q(normed), self.k(normed), self.v(normed)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Softmax attention over `[B, heads, T, d_kv]`; T5 does not scale the query."""
    return (query @ key.transpose(-2, -1) + bias).softmax(dim=-1) @ value


class EncoderBlock(nn.Module):
    """Self-attention over soft tokens and prompt, then the feed-forward."""

    def __init__(self, dims: LanguageDims) -> None:
        super().__init__()
        self.attention = SelfAttention(dims)
        self.feed_forward = GatedFeedForward(dims)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        heads = self.attention.heads
        query, key, value = (split_heads(part, heads) for part in self.attention.project(tokens))
        attended = merge_heads(attend(query, key, value, bias))
        return self.feed_forward(tokens + self.attention.o(attended))


class CrossProjection(nn.Module):
    """One decoder layer's keys and values of the encoder's output."""

    def __init__(self, dims: LanguageDims) -> None:
        super().__init__()
        self.heads = dims.heads
        self.k = nn.Linear(dims.d_model, dims.inner, bias=False)
        self.v = nn.Linear(dims.d_model, dims.inner, bias=False)

    def forward(self, encoder_output: Tensor) -> tuple[Tensor, Tensor]:
        key = split_heads(self.k(encoder_output), self.heads).transpose(-2, -1)
        return key, split_heads(self.v(encoder_output), self.heads)


class LanguageEncoder(Stage):
    """Soft tokens and prompt to `encoder_output` and every layer's cross keys and values.

    `qformer_output` [B, queries, width] and `prompt_embeds` [B, T, d_model] to `encoder_output`
    [B, queries + T, d_model], keys [B, heads, d_kv, S] and values [B, heads, S, d_kv].
    """

    inputs = ("qformer_output", "prompt_embeds")
    buckets: Tensor

    def __init__(self, dims: LanguageDims, qformer_width: int) -> None:
        super().__init__()
        self.dims = dims
        self.t5_proj = nn.Linear(qformer_width, dims.d_model)
        buckets = relative_buckets(dims.buckets // 2, dims.max_distance)
        self.register_buffer("buckets", buckets, persistent=False)
        self.relative_attention_bias = nn.Embedding(dims.buckets, dims.heads)
        self.block = nn.ModuleList(EncoderBlock(dims) for _ in range(dims.encoder_layers))
        self.final_layer_norm = RmsNorm(dims.d_model, dims.layer_norm_eps)
        self.outputs = ("encoder_output", *cache_names("past_key_values", dims, "encoder"))
        self.cross = nn.ModuleList(CrossProjection(dims) for _ in range(dims.decoder_layers))

    def forward(self, qformer_output: Tensor, prompt_embeds: Tensor) -> tuple[Tensor, ...]:
        tokens = torch.cat((self.t5_proj(qformer_output), prompt_embeds), dim=1)
        bias = self._bias(tokens)
        for block in self.block:
            tokens = block(tokens, bias)
        encoder_output = self.final_layer_norm(tokens)
        keys_values = [part for cross in self.cross for part in cross(encoder_output)]
        return (encoder_output, *keys_values)

    def _bias(self, tokens: Tensor) -> Tensor:
        position = torch.arange(tokens.shape[1], device=tokens.device)
        offset = position[None, :] - position[:, None]
        bucket = self.buckets[offset.abs().clamp(max=self.dims.max_distance)]
        bucket = bucket + torch.where(offset > 0, self.dims.buckets // 2, 0)
        return self.relative_attention_bias(bucket).permute(2, 0, 1)[None]


class DecoderBlock(nn.Module):
    """One step of cached self-attention, cross-attention and feed-forward."""

    def __init__(self, dims: LanguageDims) -> None:
        super().__init__()
        self.attention = SelfAttention(dims)
        self.cross_layer_norm = RmsNorm(dims.d_model, dims.layer_norm_eps)
        self.cross_q = nn.Linear(dims.d_model, dims.inner, bias=False)
        self.cross_o = nn.Linear(dims.inner, dims.d_model, bias=False)
        self.feed_forward = GatedFeedForward(dims)

    def recall(self, query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Return what `query` `[B, 1, inner]` finds in `keys` and `values` `[B, t, inner]`."""
        # One position: its heads are split and merged without moving anything.
        beams, heads = query.shape[0], self.attention.heads
        query = query.reshape(beams, heads, 1, -1)
        keys, values = (split_heads(part, heads) for part in (keys, values))
        attended = attend(query, keys, values, bias)
        return self.attention.o(attended.reshape(beams, 1, -1))

    def cross(self, tokens: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Return `tokens` `[B, 1, d_model]` after the cross-attention and its residual.

        `key` and `value` are one's a face, and as many beams of each face follow one another.
        """
        query = self.cross_q(self.cross_layer_norm(tokens))
        # All beams of a face read its keys, so they are the rows of one product.
        query = query.reshape(key.shape[0], -1, *key.shape[1:3]).transpose(1, 2)
        scores = query @ key
        if mask is not None:
            scores = scores + mask[:, None, None]
        attended = (scores.softmax(dim=-1) @ value).transpose(1, 2)
        return tokens + self.cross_o(attended.reshape(-1, 1, self.cross_q.out_features))


class LanguageDecoder(Stage):
    """One token a beam: `inputs_embeds` [beams, 1, d_model] to `logits` [beams, vocabulary].

    Further inputs, in order: `slot_mapping` [beams] int64, the cache rows this step writes;
    `cache_indirection` [beams, t] int64, the rows each beam reads, this step's last;
    `source_mask` [faces, S], if it takes several faces: what is added to the scores of the
    encoder's positions, so that those beyond a face's own prompt have no weight;
    per layer the decoder cache's key and value [slots, heads * d_kv];
    per layer the encoder's key [faces, heads, d_kv, S] and value [faces, heads, S, d_kv].
    Further outputs: per layer the decoder cache with this step written, for which a caller may
    pass the input's own memory.

    Args:
        dims: its sizes.
        several: it takes several faces, with as many beams each; else there is one face.
    """

    buckets: Tensor

    def __init__(self, dims: LanguageDims, several: bool = False) -> None:
        super().__init__()
        self.dims, self.several = dims, several
        buckets = relative_buckets(dims.buckets, dims.max_distance)
        self.register_buffer("buckets", buckets, persistent=False)
        self.relative_attention_bias = nn.Embedding(dims.buckets, dims.heads)
        self.block = nn.ModuleList(DecoderBlock(dims) for _ in range(dims.decoder_layers))
        self.final_layer_norm = RmsNorm(dims.d_model, dims.layer_norm_eps)
        self.inputs = (
            "inputs_embeds",
            "slot_mapping",
            "cache_indirection",
            *(("source_mask",) if several else ()),
            *cache_names("past_key_values", dims, "decoder"),
            *cache_names("past_key_values", dims, "encoder"),
        )
        self.outputs = ("logits", *cache_names("present", dims, "decoder"))
        self.lm_head = nn.Linear(dims.d_model, dims.vocabulary, bias=False)

    def forward(
        self,
        inputs_embeds: Tensor,
        slot_mapping: Tensor,
        cache_indirection: Tensor,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        mask, past_key_values = (given[0], given[1:]) if self.several else (None, given)
        tokens, bias = inputs_embeds, self._bias(cache_indirection)
        cached = 2 * self.dims.decoder_layers
        caches, memories = past_key_values[:cached], past_key_values[cached:]
        present = []
        for index, block in enumerate(cast(Iterable[DecoderBlock], self.block)):
            query, key, value = block.attention.project(tokens)
            keys, values = (
                cache.index_copy(0, slot_mapping, row[:, 0])
                for cache, row in zip(caches[2 * index : 2 * index + 2], (key, value), strict=True)
            )
            present += [keys, values]
            keys, values = (
                nn.functional.embedding(cache_indirection, part) for part in (keys, values)
            )
            tokens = tokens + block.recall(query, keys, values, bias)
            tokens = block.cross(tokens, memories[2 * index], memories[2 * index + 1], mask)
            tokens = block.feed_forward(tokens)
        return (self.lm_head(self.final_layer_norm(tokens))[:, 0], *present)

    def _bias(self, cache_indirection: Tensor) -> Tensor:
        length = cache_indirection.shape[1]
        distance = torch.arange(length - 1, -1, -1, device=cache_indirection.device)
        bucket = self.buckets[distance.clamp(max=self.dims.max_distance)]
        return self.relative_attention_bias(bucket).T[None, :, None]


def cache_names(prefix: str, dims: LanguageDims, side: str) -> tuple[str, ...]:
    """Return `{prefix}.{layer}.{side}.{key|value}` for every decoder layer, in order."""
    return tuple(
        f"{prefix}.{layer}.{side}.{part}"
        for layer in range(dims.decoder_layers)
        for part in ("key", "value")
    )
