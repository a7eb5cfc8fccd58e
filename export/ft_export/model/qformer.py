"""The Q-Former: learned queries read the picture under the prompt's guidance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ft_export.model.architecture import ForgeryTalkerArchitecture
from ft_export.model.architecture import QFormer as QFormerDims
from ft_export.model.layers import Stage, attend, merge_heads, split_heads


class ResidualNorm(nn.Module):
    """Linear, residual, LayerNorm: BERT's output blocks."""

    def __init__(self, hidden: int, width: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(hidden) + residual)


class BertAttention(nn.Module):
    """Post-norm attention of `tokens` to `memory`."""

    def __init__(self, dims: QFormerDims, memory_width: int) -> None:
        super().__init__()
        self.heads = dims.heads
        self.query = nn.Linear(dims.width, dims.width)
        self.key = nn.Linear(memory_width, dims.width)
        self.value = nn.Linear(memory_width, dims.width)
        self.output = ResidualNorm(dims.width, dims.width, dims.layer_norm_eps)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        query, key, value = (
            split_heads(part, self.heads)
            for part in (self.query(tokens), self.key(memory), self.value(memory))
        )
        attended = merge_heads(attend(query, key, value, query.shape[-1] ** -0.5))
        return self.output(attended, tokens)


class FeedForward(nn.Module):
    """Linear, GELU (erf), then `ResidualNorm`."""

    def __init__(self, dims: QFormerDims) -> None:
        super().__init__()
        self.intermediate = nn.Linear(dims.width, dims.mlp_hidden)
        self.output = ResidualNorm(dims.mlp_hidden, dims.width, dims.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(nn.functional.gelu(self.intermediate(tokens)), tokens)


class QFormerLayer(nn.Module):
    """Joint self-attention; cross-attention and an own feed-forward for the query positions."""

    def __init__(self, dims: QFormerDims, image_width: int, cross: bool, last: bool) -> None:
        super().__init__()
        self.queries = dims.queries
        self.attention = BertAttention(dims, dims.width)
        self.crossattention = BertAttention(dims, image_width) if cross else None
        self.feed_forward_query = FeedForward(dims)
        # Nobody reads the text positions after the last layer.
        self.feed_forward_text = None if last else FeedForward(dims)

    def forward(self, tokens: Tensor, image_embeds: Tensor) -> Tensor:
        tokens = self.attention(tokens, tokens)
        queries, text = tokens[:, : self.queries], tokens[:, self.queries :]
        if self.crossattention is not None:
            queries = self.crossattention(queries, image_embeds)
        queries = self.feed_forward_query(queries)
        if self.feed_forward_text is None:
            return queries
        return torch.cat((queries, self.feed_forward_text(text)), dim=1)


class QFormer(Stage):
    """`image_embeds` [B, N, C] and `qformer_ids` [B, T] to `qformer_output` [B, queries, width]."""

    inputs = ("image_embeds", "qformer_ids")
    outputs = ("qformer_output",)

    def __init__(
        self, architecture: ForgeryTalkerArchitecture, vocabulary: int, positions: int
    ) -> None:
        super().__init__()
        dims, image_width = architecture.qformer, architecture.vision_encoder.width
        self.query_tokens = nn.Parameter(torch.zeros(1, dims.queries, dims.width))
        self.word_embeddings = nn.Embedding(vocabulary, dims.width)
        self.position_embeddings = nn.Embedding(positions, dims.width)
        self.LayerNorm = nn.LayerNorm(dims.width, eps=dims.layer_norm_eps)
        self.layers = nn.ModuleList(
            QFormerLayer(
                dims,
                image_width,
                cross=index % dims.cross_attention_every == 0,
                last=index == dims.depth - 1,
            )
            for index in range(dims.depth)
        )

    def forward(self, image_embeds: Tensor, qformer_ids: Tensor) -> tuple[Tensor]:
        text = self.word_embeddings(qformer_ids)
        text = text + self.position_embeddings.weight[: qformer_ids.shape[1]]
        queries = self.query_tokens.expand(qformer_ids.shape[0], -1, -1)
        tokens = self.LayerNorm(torch.cat((queries, text), dim=1))
        for layer in self.layers:
            tokens = layer(tokens, image_embeds)
        return (tokens,)
