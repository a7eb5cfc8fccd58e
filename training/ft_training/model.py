"""The nano model as training sees it: all stages, and what they say about a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ft_export.model.nano import (
    NanoForgeryPrompter,
    NanoMaskDecoder,
    NanoQFormer,
    NanoVisionEncoder,
)
from ft_export.model.nano_traces import BlockGrid, HighPass
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD

#: Constructor arguments of each stage; they go into `architecture.json` as they are.
DIMENSIONS: dict[str, dict[str, Any]] = {
    "vision_encoder": {"image_size": 384, "embed": 160, "heads": 5, "depth": 2},
    "forgery_prompter": {"embed": 160, "hidden": 128},
    "mask_decoder": {"width": 64},
    "qformer": {"embed": 160, "width": 192, "heads": 6, "depth": 2},
}
#: Pixels of the picture from one token to the next.
STRIDE = 32


@dataclass(frozen=True)
class Seen:
    """What the vision stages give for a batch; shapes as in ft_export.model.nano."""

    image_embeds: Tensor
    detail_48: Tensor
    detail_96: Tensor
    region_maps: Tensor
    evidence: Tensor
    region_logits: Tensor
    score_logits: Tensor


def normalised(images: Tensor) -> Tensor:
    """Return `images` `[B, S, S, 3]` uint8 BGR as CLIP-normalised `[B, 3, S, S]` float32 RGB.

    Channels last in memory, as the convolutions like it.
    """
    mean = torch.tensor(CLIP_MEAN, device=images.device)
    std = torch.tensor(CLIP_STD, device=images.device)
    return ((images.flip(-1) / 255 - mean) / std).permute(0, 3, 1, 2)


class Nano(nn.Module):
    """The four stages under the names that the weights folder uses."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_encoder = NanoVisionEncoder(**DIMENSIONS["vision_encoder"])
        self.forgery_prompter = NanoForgeryPrompter(**DIMENSIONS["forgery_prompter"])
        self.mask_decoder = NanoMaskDecoder(**DIMENSIONS["mask_decoder"])
        self.qformer = NanoQFormer(**DIMENSIONS["qformer"])

    def see(self, pixel_values: Tensor, corners: Tensor | None = None) -> Seen:
        """Run the vision encoder and the prompter on `[B, 3, S, S]`.

        Windows of smaller pictures come with their `corners` `[B, 2]`, (y, x) in px.
        """
        if corners is None:
            corners = torch.zeros(len(pixel_values), 2, dtype=torch.int64)
        position = self._positions(corners, pixel_values.shape[-1])
        embeds, at_48, at_96, maps = functional_call(
            self.vision_encoder, {"position": position}, (pixel_values,)
        )
        evidence = self.forgery_prompter.evidence(at_48)
        regions, score = self.forgery_prompter.from_evidence(evidence, embeds, at_48, maps)
        return Seen(embeds, at_48, at_96, maps, evidence, regions, score)

    def _positions(self, corners: Tensor, side: int) -> Tensor:
        """Return the tokens' positions `[B, (side/32)^2, embed]` in windows at `corners`."""
        position = self.vision_encoder.position
        across = math.isqrt(position.shape[1])
        grid, cells = position.view(across, across, -1), side // STRIDE
        return torch.stack([
            grid[y : y + cells, x : x + cells].flatten(0, 1)
            for y, x in (corners // STRIDE).tolist()
        ])  # fmt: skip

    def pixel_logits(self, seen: Seen, region_labels: Tensor) -> Tensor:
        """Return the mask decoder's logits `[B, S/2, S/2]` as they are trained."""
        return self.mask_decoder.pixel_logits(
            seen.detail_48, seen.detail_96, seen.region_maps, region_labels
        )

    def mask(self, seen: Seen, region_labels: Tensor) -> Tensor:
        """Return mask logits `[B, S/2, S/2]` under `region_labels` `[B, 21]`."""
        logits: Tensor = self.mask_decoder(
            seen.detail_48, seen.detail_96, seen.region_maps, region_labels, seen.score_logits
        )
        return logits

    def tokens(self, seen: Seen, mask_logits: Tensor, region_labels: Tensor) -> Tensor:
        """Return the Q-Former's tokens `[B, 24, width]`."""
        tokens: Tensor = self.qformer(
            seen.image_embeds, seen.region_maps, mask_logits, region_labels,
            seen.region_logits, seen.score_logits,
        )  # fmt: skip
        return tokens


def channels_last(model: Nano) -> None:
    """Lay the convolutions' weights out as this processor likes them, in place."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def keep_exact(model: nn.Module) -> None:
    """Keep in float32, under autocast too, what bfloat16 would harm or slow, in place.

    Grey levels have more digits than bfloat16, and its depthwise gradients are slow.
    """

    def exact(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(x: Tensor) -> Tensor:
            with torch.autocast(x.device.type, enabled=False):
                return forward(x.float())

        return run

    for module in model.modules():
        depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
        if depthwise or isinstance(module, BlockGrid | HighPass):
            module.forward = exact(module.forward)


@torch.no_grad()
def conditioning(labels: Tensor, region_logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw the `region_labels` `[B, 21]` that the mask decoder is trained under.

    The model's own, the truth, none, the truth with flips, and (rarely) nonsense: a correction
    must move the mask, and a wrong one must not destroy it.
    """
    drawn = torch.rand(len(labels), 1 + 2 * labels.shape[1], generator=generator)
    draw, flips, nonsense = drawn.to(labels.device).split([1, *2 * [labels.shape[1]]], dim=1)
    flips, nonsense = (flips < 0.12).float(), (nonsense < 0.2).float()
    chosen = (region_logits > 0).float()
    chosen = torch.where(draw < 0.5, labels, chosen)
    chosen = torch.where(draw < 0.35, torch.zeros_like(labels), chosen)
    chosen = torch.where(draw < 0.15, (labels - flips).abs(), chosen)
    return torch.where(draw < 0.05, nonsense, chosen)
