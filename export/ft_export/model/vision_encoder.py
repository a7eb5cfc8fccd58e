"""EVA ViT-g/14 with `ln_vision`: `pixel_values` to `image_embeds`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ft_export.model.architecture import ForgeryTalkerArchitecture, VisionTransformer
from ft_export.model.layers import Mlp, PatchEmbedding, Stage, attend, merge_heads, split_heads


class EvaAttention(nn.Module):
    """Self-attention with one qkv weight, a q and a v bias, and no k bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        query, key, value = (
            split_heads(part, self.heads) for part in (self.qkv(tokens) + bias).chunk(3, dim=-1)
        )
        scale = query.shape[-1] ** -0.5
        return self.proj(merge_heads(attend(query, key, value, scale)))


class EvaBlock(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, dims: VisionTransformer) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims.width, eps=dims.layer_norm_eps)
        self.attn = EvaAttention(dims.width, dims.heads)
        self.norm2 = nn.LayerNorm(dims.width, eps=dims.layer_norm_eps)
        self.mlp = Mlp(dims.width, dims.mlp_hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VisionEncoder(Stage):
    """`pixel_values` [B, 3, S, S] to `image_embeds` [B, 1 + patches, width], CLS first."""

    inputs = ("pixel_values",)
    outputs = ("image_embeds",)

    def __init__(self, architecture: ForgeryTalkerArchitecture) -> None:
        super().__init__()
        dims = architecture.vision_encoder
        self.embed = PatchEmbedding(dims.width, dims.patch_size, architecture.image_size)
        self.blocks = nn.ModuleList(EvaBlock(dims) for _ in range(dims.depth))
        self.ln_vision = nn.LayerNorm(dims.width, eps=1e-5)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor]:
        tokens = self.embed(pixel_values)
        for block in self.blocks:
            tokens = block(tokens)
        return (self.ln_vision(tokens),)
