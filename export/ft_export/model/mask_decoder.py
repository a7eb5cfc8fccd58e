"""The mask decoder: region prompt and image tokens to `mask_logits`.

A two-way transformer with a single query token. Attention over one token is its value, so the
query and key projections of `self_attn` and `cross_attn_image_to_token` have no effect and are
not part of these modules.
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn

from ft_export.model.architecture import ForgeryTalkerArchitecture
from ft_export.model.layers import Stage, attend, merge_heads, split_heads


class OneTokenAttention(nn.Module):
    """Attention to a single token: its value, whatever the query."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, token: Tensor) -> Tensor:
        return self.out_proj(self.v_proj(token))


class TokenToImageAttention(nn.Module):
    """Attention of the mask token to the image tokens, at a reduced inner width."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        parts = (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        q, k, v = (split_heads(part, self.heads) for part in parts)
        return self.out_proj(merge_heads(attend(q, k, v, q.shape[-1] ** -0.5)))


class TwoWayMlp(nn.Module):
    """Linear, ReLU, Linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.lin2(nn.functional.relu(self.lin1(tokens)))


class TwoWayBlock(nn.Module):
    """Query to itself, to the image, MLP, and the image to the query."""

    def __init__(self, width: int, heads: int, hidden: int, downsample: int, first: bool) -> None:
        super().__init__()
        inner = width // downsample
        self.first = first
        self.self_attn = OneTokenAttention(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = TokenToImageAttention(width, inner, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TwoWayMlp(width, hidden)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = OneTokenAttention(width, inner)

    def forward(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        attended = self.self_attn(queries)
        queries = self.norm1(attended if self.first else queries + attended)
        attended = self.cross_attn_token_to_image(queries + query_pe, keys + key_pe, keys)
        queries = self.norm2(queries + attended)
        queries = self.norm3(queries + self.mlp(queries))
        return queries, self.norm4(keys + self.cross_attn_image_to_token(queries))


class PerceptronStack(nn.Module):
    """Three linear layers with ReLU between; `hidden` stops before the last one."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        sizes = (width, width, width, out)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def hidden(self, tokens: Tensor) -> Tensor:
        """Return `tokens` [B, N, width] after all layers but the last one, whose input this is."""
        for layer in self.layers[:-1]:
            tokens = nn.functional.relu(layer(tokens))
        return tokens

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.hidden(tokens))

    @property
    def last(self) -> nn.Linear:
        """The linear layer without ReLU."""
        return cast(nn.Linear, self.layers[-1])


class MaskDecoder(Stage):
    """`image_embeds` [B, 1 + patches, width] and `region_embeds` [B, 21, d_model] to `mask_logits`.

    `mask_logits` is [B, M, M]; the mask is its sigmoid, cut at 0.5.
    """

    inputs = ("image_embeds", "region_embeds")
    outputs = ("mask_logits",)

    def __init__(self, architecture: ForgeryTalkerArchitecture, d_model: int) -> None:
        super().__init__()
        dims, width = architecture.mask_decoder, architecture.vision_encoder.width
        self.mask_size = architecture.mask_size
        self.prompt_proj = nn.Linear(d_model, width)
        self.cross_attention_layer = nn.MultiheadAttention(
            width, dims.prompt_cross_attention_heads, batch_first=True
        )
        self.mask_tokens = nn.Parameter(torch.zeros(1, 1, width))
        self.layers = nn.ModuleList(
            TwoWayBlock(
                width, dims.heads, dims.mlp_hidden, dims.cross_attention_downsample, first=i == 0
            )
            for i in range(dims.depth)
        )
        inner = width // dims.cross_attention_downsample
        self.final_attn_token_to_image = TokenToImageAttention(width, inner, dims.heads)
        self.norm_final_attn = nn.LayerNorm(width)
        self.output_upscaling_mlp = PerceptronStack(width, self.mask_size**2)
        self.output_hypernetworks_mlps = PerceptronStack(width, dims.prompt_tokens + 1)

    def forward(self, image_embeds: Tensor, region_embeds: Tensor) -> tuple[Tensor]:
        cls, patches = image_embeds[:, :1], image_embeds[:, 1:]
        prompt = self._attend_to_patches(self.prompt_proj(region_embeds), patches)
        keys = key_pe = torch.cat((cls, prompt), dim=1)
        queries = query_pe = self.mask_tokens.expand(keys.shape[0], -1, -1)
        for layer in self.layers:
            queries, keys = layer(queries, keys, query_pe, key_pe)
        attended = self.final_attn_token_to_image(queries + query_pe, keys + key_pe, keys)
        return (self._logits(self.norm_final_attn(queries + attended), keys),)

    def _attend_to_patches(self, prompt: Tensor, patches: Tensor) -> Tensor:
        layer = self.cross_attention_layer
        width = layer.embed_dim
        query, key, value = (
            split_heads(
                nn.functional.linear(
                    tokens,
                    layer.in_proj_weight[start : start + width],
                    layer.in_proj_bias[start : start + width],
                ),
                layer.num_heads,
            )
            for tokens, start in ((prompt, 0), (patches, width), (patches, 2 * width))
        )
        return layer.out_proj(merge_heads(attend(query, key, value, query.shape[-1] ** -0.5)))

    def _logits(self, mask_token: Tensor, tokens: Tensor) -> Tensor:
        # (h @ t) @ W.T + sum(h) * b equals h @ (t @ W.T + b) at 1/22 of the arithmetic.
        hyper = self.output_hypernetworks_mlps(mask_token)
        mixed = hyper @ self.output_upscaling_mlp.hidden(tokens)
        last = self.output_upscaling_mlp.last
        flat = nn.functional.linear(mixed, last.weight) + hyper.sum(-1, keepdim=True) * last.bias
        return flat.reshape(-1, self.mask_size, self.mask_size)
