"""The forgery prompter (FPN): a ViT-H/14 joined by two convolution branches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ft_export.model.architecture import ForgeryTalkerArchitecture, VisionTransformer
from ft_export.model.layers import Mlp, PatchEmbedding, Stage, attend, merge_heads, split_heads


class Attention(nn.Module):
    """Self-attention with separate, biased projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = (
            split_heads(part(tokens), self.heads) for part in (self.query, self.key, self.value)
        )
        return self.out(merge_heads(attend(query, key, value, query.shape[-1] ** -0.5)))


class Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, dims: VisionTransformer) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dims.width, eps=dims.layer_norm_eps)
        self.attn = Attention(dims.width, dims.heads)
        self.ffn_norm = nn.LayerNorm(dims.width, eps=dims.layer_norm_eps)
        self.ffn = Mlp(dims.width, dims.mlp_hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.attention_norm(tokens))
        return tokens + self.ffn(self.ffn_norm(tokens))


class TokenPool(nn.Module):
    """1-D adaptive average pooling of `[B, C, h, w]`, raster order, to `[B, tokens, C]`.

    A constant matrix does it, because `cells` need not be a multiple of `tokens` and exporters
    refuse the uneven case. Window i is [floor(i * cells / tokens), ceil((i + 1) * cells / tokens)).
    """

    matrix: Tensor

    def __init__(self, cells: int, tokens: int) -> None:
        super().__init__()
        matrix = torch.zeros(tokens, cells, device="cpu")
        for i in range(tokens):
            start, end = i * cells // tokens, -(-(i + 1) * cells // tokens)
            matrix[i, start:end] = 1 / (end - start)
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.matrix @ features.flatten(2).transpose(1, 2)


class CoordinateBranch(nn.Module):
    """Picture with coordinates `[B, 3, S, S]` to features `[B, width, S / 4, S / 4]`."""

    coordinates: Tensor

    def __init__(self, width: int, image_size: int) -> None:
        super().__init__()
        ramp = torch.arange(image_size, device="cpu") / (image_size - 1) * 2 - 1
        rows, columns = torch.meshgrid(ramp, ramp, indexing="ij")
        # The input carries row and column once, and the first layer appends them again.
        pair = torch.stack((rows, columns))
        self.register_buffer("coordinates", torch.cat((pair, pair))[None], persistent=False)
        self.conv = nn.Conv2d(7, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width, eps=1e-5)

    def forward(self, pixel_values: Tensor) -> Tensor:
        coordinates = self.coordinates.expand(pixel_values.shape[0], -1, -1, -1)
        features = self.norm(self.conv(torch.cat((pixel_values, coordinates), dim=1)))
        return nn.functional.max_pool2d(nn.functional.leaky_relu(features, 0.01), 2)


class ConvolutionBranch(nn.Module):
    """Features `[B, width, h, w]` to `[B, width, h / 4, w / 4]`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(width, eps=1e-5)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.max_pool2d(nn.functional.relu(self.norm(self.conv(features))), 2)


def _halved(size: int) -> int:
    """Side after a stride-2 convolution that keeps ceil(size / 2), then a 2x2 max-pool."""
    return ((size + 1) // 2) // 2


class ForgeryPrompter(Stage):
    """`pixel_values` [B, 3, S, S] to `region_logits` [B, labels]."""

    inputs = ("pixel_values",)
    outputs = ("region_logits",)

    def __init__(self, architecture: ForgeryTalkerArchitecture) -> None:
        super().__init__()
        dims, size = architecture.forgery_prompter, architecture.image_size
        patches = (size // dims.patch_size) ** 2
        first = _halved(size)
        self.embed = PatchEmbedding(dims.width, dims.patch_size, size)
        self.branch1 = CoordinateBranch(dims.width, size)
        self.branch2 = ConvolutionBranch(dims.width)
        self.pool1 = TokenPool(first**2, patches)
        self.pool2 = TokenPool(_halved(first) ** 2, patches)
        self.blocks = nn.ModuleList(Block(dims) for _ in range(dims.depth))
        self.norm = nn.LayerNorm(dims.width, eps=dims.layer_norm_eps)
        self.head = nn.Linear(dims.width, len(architecture.labels))

    def forward(self, pixel_values: Tensor) -> tuple[Tensor]:
        tokens = self.embed(pixel_values)
        features1 = self.branch1(pixel_values)
        branches = (self.pool1(features1), self.pool2(self.branch2(features1)))
        for index, block in enumerate(self.blocks):
            if index < len(branches):
                tokens = torch.cat((tokens[:, :1], tokens[:, 1:] + branches[index]), dim=1)
            tokens = block(tokens)
        return (self.head(self.norm(tokens)[:, 0]),)
