"""Building blocks of the nano model: convolutions, attention, the EfficientNet-Lite0 trunk."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: EfficientNet-Lite0 stages (Tan and Le, 2019; the Lite variant has no squeeze-and-excitation and
#: ReLU6): expansion, output channels, repeats, stride, kernel. The last stage is left out: at a
#: stride of 64 input pixels it only serves classification.
LITE0_STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
)
LITE0_STEM = 32


def _same_convolution(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1
) -> list[nn.Module]:
    """TensorFlow's "same" padding for even sizes: the odd pixel goes right and below."""
    total = kernel - stride
    low = total // 2
    pad: list[nn.Module] = []
    if stride > 1:
        pad, low = [nn.ZeroPad2d((low, total - low, low, total - low))], 0
    return [*pad, nn.Conv2d(inputs, outputs, kernel, stride, low, groups=groups, bias=False)]


class InvertedBottleneck(nn.Module):
    """Expand 1x1, depthwise, project 1x1: [B, inputs, H, W] -> [B, outputs, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(inputs, inner, 1, bias=False), _norm(inner), nn.ReLU6()]
        layers += [
            *_same_convolution(inner, inner, kernel, stride, inner),
            _norm(inner),
            nn.ReLU6(),
        ]
        layers += [nn.Conv2d(inner, outputs, 1, bias=False), _norm(outputs)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


class Lite0Trunk(nn.Module):
    """EfficientNet-Lite0 without its last stage and head.

    [B, 3, H, W] in -1..1 -> features at strides 2, 4, 8, 16, 32 with 16, 24, 40, 112 and 192
    channels.
    """

    channels = (16, 24, 40, 112, 192)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_same_convolution(3, LITE0_STEM, 3, 2), _norm(LITE0_STEM), nn.ReLU6()
        )
        self.stages, inputs = nn.ModuleList(), LITE0_STEM
        for expansion, outputs, repeats, stride, kernel in LITE0_STAGES:
            blocks = []
            for number in range(repeats):
                step = stride if number == 0 else 1
                blocks.append(InvertedBottleneck(inputs, outputs, expansion, step, kernel))
                inputs = outputs
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        x = self.stem(x)
        at_2 = self.stages[0](x)
        at_4 = self.stages[1](at_2)
        at_8 = self.stages[2](at_4)
        at_16 = self.stages[4](self.stages[3](at_8))
        return at_2, at_4, at_8, at_16, self.stages[5](at_16)


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, ReLU: [B, inputs, H, W] -> [B, outputs, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), then ReLU; the shape stays [B, channels, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.second(self.first(x))))


class Attention(nn.Module):
    """Multi-head attention: queries [B, Q, width] over keys [B, K, context] -> [B, Q, width]."""

    def __init__(self, width: int, heads: int, context: int | None = None) -> None:
        super().__init__()
        self.heads, self.scale = heads, 1 / math.sqrt(width // heads)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context or width, width)
        self.value = nn.Linear(context or width, width)
        self.output = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        query = self._split(self.query(x)) * self.scale
        weights = (query @ self._split(self.key(context)).transpose(-1, -2)).softmax(-1)
        mixed = weights @ self._split(self.value(context))
        return self.output(mixed.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Pre-norm self-attention, cross-attention where `context` is given, MLP: [B, N, width]."""

    def __init__(self, width: int, heads: int, inner: int, context: int | None = None) -> None:
        super().__init__()
        self.norm_self, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.cross = None if context is None else Attention(width, heads, context)
        self.norm_cross = None if context is None else nn.LayerNorm(width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        normed = self.norm_self(x)
        x = x + self.attention(normed, normed)
        if self.cross is not None and self.norm_cross is not None and context is not None:
            x = x + self.cross(self.norm_cross(x), context)
        return x + self.mlp(self.norm_mlp(x))
