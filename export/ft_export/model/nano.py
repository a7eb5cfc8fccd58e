"""The nano model: four small stages with the same names and order as ForgeryTalker's.

Unlike ForgeryTalker its mask decoder sees spatial features, its text stage sees the mask, and it
has a score for the whole picture, because it was trained on untouched faces too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ft_export.model.layers import Stage
from ft_export.model.nano_layers import ConvBlock, Lite0Trunk, ResidualBlock, TransformerBlock
from ft_export.model.nano_traces import BlockGrid, HighPass
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD

#: Number of region names; their order is the bundle's `labels`.
REGIONS = 21
#: Indices of the regions that landmarks can locate; channel order of `region_maps`: eye, pupil,
#: lip, mouth, nose, cheek, forehead, chin, jaw, eyebrow, skin.
LOCATED = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 15)


def _upsample(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class GridTraces(nn.Module):
    """What :class:`BlockGrid` finds, each place seen against the whole picture: [B, 3, S, S] ->
    [B, width, S/8, S/8]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.grid = BlockGrid()
        self.narrow = nn.Conv2d(BlockGrid.channels, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.usual = nn.Linear(width, width)
        self.around = ResidualBlock(width)
        self.out = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        x = self.norm(self.narrow(self.grid(pixel_values)))
        x = torch.relu(x + self.usual(x.mean((2, 3)))[..., None, None])
        traces: Tensor = self.out(self.around(x))
        return traces


class NanoVisionEncoder(Stage):
    """Semantic trunk at half size joined at full size by a high-pass branch and JPEG's grid.

    S = image size. `pixel_values` [B, 3, S, S] float32 (CLIP mean and deviation) ->
    `image_embeds` [B, (S/32)^2, embed], `detail_48` [B, 64, S/8, S/8],
    `detail_96` [B, 32, S/4, S/4] (named for S = 384) and
    `region_maps` [B, 11, S/8, S/8], logits of where each located region is.
    """

    inputs = ("pixel_values",)
    outputs = ("image_embeds", "detail_48", "detail_96", "region_maps")
    halve: Tensor
    shift: Tensor
    position: Tensor

    def __init__(self, image_size: int, embed: int = 160, heads: int = 5, depth: int = 2) -> None:
        super().__init__()
        # The mean of 2x2 CLIP-normalised pixels, in the -1..1 that EfficientNet-Lite0 was trained
        # on, as one convolution.
        mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
        halve = torch.diag(2 * std / 4)[..., None, None].repeat(1, 1, 2, 2)
        self.register_buffer("halve", halve, persistent=False)
        self.register_buffer("shift", 2 * mean - 1, persistent=False)
        self.trunk, self.high_pass = Lite0Trunk(), HighPass()
        self.noise_96 = nn.Sequential(ConvBlock(9, 16, 2), ConvBlock(16, 32, 2), ResidualBlock(32))
        self.grid_48 = GridTraces(64)
        self.noise_48 = nn.Sequential(ConvBlock(32, 64, 2), ResidualBlock(64))
        self.noise_24 = nn.Sequential(ConvBlock(64, 96, 2), ResidualBlock(96))
        self.noise_12 = ConvBlock(96, embed, 2)
        at_2, at_4, at_8, at_16, at_32 = Lite0Trunk.channels
        self.from_6, self.from_12 = nn.Conv2d(at_32, embed, 1), nn.Conv2d(at_16, embed, 1)
        self.mix_12 = ResidualBlock(embed)
        self.position = nn.Parameter(torch.zeros(1, (image_size // 32) ** 2, embed))
        self.blocks = nn.ModuleList(TransformerBlock(embed, heads, 2 * embed) for _ in range(depth))
        self.norm = nn.LayerNorm(embed)
        self.from_24, self.down_12 = nn.Conv2d(at_8, 96, 1), nn.Conv2d(embed, 96, 1)
        self.mix_24 = ResidualBlock(96)
        self.from_48, self.down_24 = nn.Conv2d(at_4, 64, 1), nn.Conv2d(96, 64, 1)
        self.mix_48 = ConvBlock(64, 64)
        self.from_96 = nn.Conv2d(at_2, 32, 1)
        self.region_head = nn.Conv2d(64, len(LOCATED), 1)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        noise_96 = self.noise_96(self.high_pass(pixel_values))
        noise_48 = self.noise_48(noise_96) + self.grid_48(pixel_values)
        noise_24 = self.noise_24(noise_48)
        half = functional.conv2d(pixel_values, self.halve, self.shift, stride=2)
        at_96, at_48, at_24, at_12, at_6 = self.trunk(half)
        top = self.from_12(at_12) + _upsample(self.from_6(at_6)) + self.noise_12(noise_24)
        top = self.mix_12(top)
        tokens = top.flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        image_embeds = self.norm(tokens)
        top = image_embeds.transpose(1, 2).unflatten(2, top.shape[2:])
        detail_24 = self.mix_24(self.from_24(at_24) + noise_24 + _upsample(self.down_12(top)))
        detail_48 = self.mix_48(self.from_48(at_48) + noise_48 + _upsample(self.down_24(detail_24)))
        detail_96 = self.from_96(at_96) + noise_96
        return image_embeds, detail_48, detail_96, self.region_head(detail_48)


def region_overlap(region_maps: Tensor, area: Tensor) -> Tensor:
    """Return how much of each region an area covers: mean and largest value, [B, 2 * 11].

    `region_maps` [B, 11, H, W] logits, `area` [B, 1, H, W] in 0..1.
    """
    inside = region_maps.sigmoid()
    mean = (inside * area).sum((2, 3)) / (inside.sum((2, 3)) + 1.0)
    return torch.cat([mean, (inside * area).amax((2, 3))], dim=1)


class ScoreHead(nn.Module):
    """Whether the picture was manipulated: the strongest evidence, and what its surroundings add.

    It sees the traces where evidence is strong and over the whole face, and of the content only a
    few numbers: a head that saw all of it learnt its training people by heart.
    """

    def __init__(self, embed: int, detail: int = 64, hidden: int = 64, content: int = 16) -> None:
        super().__init__()
        self.content = nn.Sequential(nn.LayerNorm(embed), nn.Linear(embed, content))
        self.dropout = nn.Dropout(0.2)
        self.hidden = nn.Linear(2 * detail + content + 3, hidden)
        self.out = nn.Linear(hidden, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, evidence: Tensor, detail_48: Tensor, image_embeds: Tensor, face: Tensor
    ) -> Tensor:
        """Return [B, 1] from evidence and face [B, 1, H, W], traces [B, 64, H, W], embeds."""
        strongest = functional.avg_pool2d(evidence, 2, 1).amax((2, 3))
        strong = (0.5 * evidence.flatten(2)).softmax(2)
        on_face = face.flatten(2) / (face.sum((2, 3)) + 1.0)[..., None]
        traces = detail_48.flatten(2).transpose(1, 2)
        facts = [
            strongest, (strong * evidence.flatten(2)).sum(2), (on_face * evidence.flatten(2)).sum(2)
        ]  # fmt: skip
        seen = torch.cat(
            [
                (strong @ traces).squeeze(1), (on_face @ traces).squeeze(1),
                self.content(image_embeds.mean(1)), *(0.3 * fact for fact in facts),
            ],
            dim=1,
        )  # fmt: skip
        added: Tensor = self.out(self.dropout(torch.relu(self.hidden(seen))))
        return strongest + added


class NanoForgeryPrompter(Stage):
    """Which regions look manipulated, and whether the picture does at all.

    `image_embeds` [B, N, embed], `detail_48` [B, 64, H, W], `region_maps` [B, 11, H, W] ->
    `region_logits` [B, 21], `score_logits` [B, 1].
    """

    inputs = ("image_embeds", "detail_48", "region_maps")
    outputs = ("region_logits", "score_logits")

    def __init__(self, embed: int = 160, hidden: int = 128) -> None:
        super().__init__()
        self.evidence_head = nn.Sequential(ConvBlock(64, 32), nn.Conv2d(32, 1, 1))
        pooled = 2 * embed
        self.regions = nn.Sequential(
            nn.Linear(3 * len(LOCATED) + pooled, hidden), nn.ReLU(), nn.Linear(hidden, REGIONS)
        )
        self.score = ScoreHead(embed)

    def evidence(self, detail_48: Tensor) -> Tensor:
        """Return where traces are, before any label is known: [B, 64, H, W] -> [B, 1, H, W]."""
        logits: Tensor = self.evidence_head(detail_48)
        return logits

    def forward(
        self, image_embeds: Tensor, detail_48: Tensor, region_maps: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.from_evidence(self.evidence(detail_48), image_embeds, detail_48, region_maps)

    def from_evidence(
        self, evidence: Tensor, image_embeds: Tensor, detail_48: Tensor, region_maps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return `region_logits` and `score_logits` from evidence [B, 1, H, W] logits."""
        pooled = torch.cat([image_embeds.mean(1), image_embeds.amax(1)], dim=1)
        inside = region_maps.sigmoid()
        raw = (inside * evidence).sum((2, 3)) / (inside.sum((2, 3)) + 1.0)
        overlap = region_overlap(region_maps, evidence.sigmoid())
        region_logits = self.regions(torch.cat([overlap, 0.2 * raw, pooled], dim=1))
        face = inside.amax(1, keepdim=True)
        return region_logits, self.score(evidence, detail_48, image_embeds, face)


def expected_iou_cut(logits: Tensor) -> Tensor:
    """Return where to cut mask logits so that the expected IoU is highest: [B, H, W] -> [B].

    The best set of pixels is a cut of the probabilities, but seldom at one half: in doubt a lower
    one wins (Nowozin, "Optimal decisions from probabilistic models: the intersection-over-union
    case", 2014). Cuts from -3 to 2 are weighed, smoothly, on every fourth pixel.
    """
    cuts = torch.arange(-3.0, 2.5, 0.5, device=logits.device)
    few = logits[:, ::2, ::2].flatten(1)[:, None]
    inside, kept = few.sigmoid(), torch.sigmoid(4 * (few - cuts[:, None]))
    both = (inside * kept).sum(2)
    iou = both / (inside.sum(2) + kept.sum(2) - both + 1e-3)
    return (100 * iou).softmax(1) @ cuts


class NanoMaskDecoder(Stage):
    """Where the picture was changed, given which regions are held to be manipulated.

    `detail_48` [B, 64, H, W], `detail_96` [B, 32, 2H, 2W], `region_maps` [B, 11, H, W],
    `region_labels` [B, 21] float32 0/1, `score_logits` [B, 1] -> `mask_logits` [B, 4H, 4W], to be
    cut at 0. The labels act twice: as a map of where the chosen regions are, and on all channels.
    With no label at all and a score below the calibrated `certain` the logits fall by the
    calibrated `quiet`: what neither region nor score supports must be plain to see.
    """

    inputs = ("detail_48", "detail_96", "region_maps", "region_labels", "score_logits")
    outputs = ("mask_logits",)
    located: Tensor
    quiet: Tensor
    certain: Tensor

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("located", torch.tensor(LOCATED), persistent=False)
        self.register_buffer("quiet", torch.zeros(1))
        self.register_buffer("certain", torch.zeros(1))
        self.enter = nn.Conv2d(64 + 2, width, 3, padding=1, bias=False)
        self.enter_norm = nn.BatchNorm2d(width)
        self.condition = nn.Sequential(nn.Linear(REGIONS, 64), nn.ReLU(), nn.Linear(64, 2 * width))
        self.mix = ResidualBlock(width)
        self.narrow = nn.Conv2d(width, 32, 1)
        self.detail = ConvBlock(32, 32)
        self.head = nn.Conv2d(32, 4, 3, padding=1)

    def forward(
        self, detail_48: Tensor, detail_96: Tensor, region_maps: Tensor, region_labels: Tensor,
        score_logits: Tensor,
    ) -> Tensor:  # fmt: skip
        logits = self.pixel_logits(detail_48, detail_96, region_maps, region_labels)
        logits = logits - expected_iou_cut(logits)[:, None, None]
        return logits - self.quiet * self.doubt(region_labels, score_logits)[..., None]

    def pixel_logits(
        self, detail_48: Tensor, detail_96: Tensor, region_maps: Tensor, region_labels: Tensor
    ) -> Tensor:
        """Return how likely each pixel was changed, as it is trained: [B, 4H, 4W] logits."""
        inside = region_maps.sigmoid()
        chosen = region_labels.index_select(1, self.located)[..., None, None]
        prior = (inside * chosen).amax(1, keepdim=True)
        others = (inside * (1 - chosen)).amax(1, keepdim=True)
        x = self.enter_norm(self.enter(torch.cat([detail_48, prior, others], dim=1)))
        gain, shift = self.condition(region_labels)[..., None, None].chunk(2, dim=1)
        x = self.mix(torch.relu(x * (1 + gain) + shift))
        x = self.detail(torch.relu(_upsample(self.narrow(x)) + detail_96))
        return functional.pixel_shuffle(self.head(x), 2).squeeze(1)

    def doubt(self, region_labels: Tensor, score_logits: Tensor) -> Tensor:
        """Return how much nothing but the mask speaks of a change, 0..1, [B, 1]."""
        unlabelled = 1 - region_labels.amax(1, keepdim=True)
        return unlabelled * torch.sigmoid(4 * (self.certain - score_logits))


class NanoQFormer(Stage):
    """Tokens for the text: one a region, three for the whole, which know the mask.

    `image_embeds` [B, N, embed], `region_maps` [B, 11, H, W], `mask_logits` [B, 4H, 4W],
    `region_labels` [B, 21], `region_logits` [B, 21], `score_logits` [B, 1] ->
    `qformer_output` [B, 24, width].
    """

    inputs = (
        "image_embeds", "region_maps", "mask_logits", "region_labels", "region_logits",
        "score_logits",
    )  # fmt: skip
    outputs = ("qformer_output",)
    place: Tensor

    def __init__(self, embed: int = 160, width: int = 192, heads: int = 6, depth: int = 2) -> None:
        super().__init__()
        place = torch.zeros(len(LOCATED), REGIONS)
        place[torch.arange(len(LOCATED)), torch.tensor(LOCATED)] = 1
        self.register_buffer("place", place, persistent=False)
        self.region_tokens = nn.Parameter(0.02 * torch.randn(1, REGIONS, width))
        self.region_facts = nn.Linear(4, width)
        self.masked, self.pooled = nn.Linear(embed, width), nn.Linear(embed, width)
        self.whole_facts = nn.Linear(3, width)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, 2 * width, embed) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, image_embeds: Tensor, region_maps: Tensor, mask_logits: Tensor,
        region_labels: Tensor, region_logits: Tensor, score_logits: Tensor,
    ) -> Tensor:  # fmt: skip
        mask = mask_logits.sigmoid()[:, None]
        mean, most = region_overlap(region_maps, functional.avg_pool2d(mask, 4)).chunk(2, dim=1)
        facts = [mean @ self.place, most @ self.place, region_labels, region_logits.sigmoid()]
        regions = self.region_tokens + self.region_facts(torch.stack(facts, dim=-1))
        weight = functional.avg_pool2d(mask, 16).flatten(2)
        masked = self.masked((weight @ image_embeds) / (weight.sum(-1, keepdim=True) + 1e-3))
        pooled = self.pooled(image_embeds.mean(1, keepdim=True))
        whole = torch.cat([score_logits * 0.2, mask.mean((2, 3)), mask.amax((2, 3))], dim=1)
        x = torch.cat([regions, masked, pooled, self.whole_facts(whole)[:, None]], dim=1)
        for block in self.blocks:
            x = block(x, image_embeds)
        return self.norm(x)
