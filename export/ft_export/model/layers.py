"""Layers that more than one stage is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Stage(nn.Module):
    """A stage's module: what it takes and gives, by the names that travel in a bundle."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Turn `[B, T, heads * d]` into `[B, heads, T, d]`."""
    batch, length, width = tokens.shape
    return tokens.reshape(batch, length, heads, width // heads).transpose(1, 2)


def merge_heads(tokens: Tensor) -> Tensor:
    """Turn `[B, heads, T, d]` into `[B, T, heads * d]`."""
    return tokens.transpose(1, 2).flatten(2)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Softmax attention over `[B, heads, T, d]`; the query is scaled before the product."""
    weights = (query * scale) @ key.transpose(-2, -1)
    return weights.softmax(dim=-1) @ value


class PatchEmbedding(nn.Module):
    """Pixels `[B, 3, S, S]` to CLS and patch tokens `[B, 1 + (S / patch)^2, width]`."""

    def __init__(self, width: int, patch_size: int, image_size: int) -> None:
        super().__init__()
        patches = (image_size // patch_size) ** 2
        self.proj = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, width))

    def forward(self, pixel_values: Tensor) -> Tensor:
        patches = self.proj(pixel_values).flatten(2).transpose(1, 2)
        cls = self.cls_token.expand(patches.shape[0], -1, -1)
        return torch.cat((cls, patches), dim=1) + self.pos_embed


class Mlp(nn.Module):
    """Linear, GELU (erf), Linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(tokens)))
