"""What the frozen vision stages say about many pictures, kept for the text stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ft_forge.labels import COVERAGE, SKIN_COVERAGE
from ft_training.calibration import likelihood
from ft_training.model import Nano, Seen, conditioning, normalised
from ft_training.samples import Sample
from ftsdk.decision import EMPTY_SHARE
from ftsdk.regions import LABELS, LOCATED_LABELS, face_region


@dataclass
class Features:
    """Inputs of the Q-Former for N pictures, in float16, and what their reports should say.

    `named` lists the regions that the *predicted* mask covers, None where it found nothing:
    the text follows the mask that the user sees.
    """

    tensors: dict[str, Tensor]
    named: list[list[str] | None]
    meta: list[dict[str, object]]

    def save(self, path: Path) -> None:
        """Write everything to one file."""
        torch.save({"tensors": self.tensors, "named": self.named, "meta": self.meta}, path)

    @classmethod
    def load(cls, path: Path) -> Features:
        """Read what :meth:`save` wrote."""
        return cls(**torch.load(path, weights_only=True))


def _enough(label: str) -> float:
    """Return the share of a region that makes it covered; `labels_from_mask` asks it of one side.

    A little less is enough: masks in cells lose the border.
    """
    if label == "skin":
        return SKIN_COVERAGE
    return 0.85 * COVERAGE / len(face_region(label).outlines)


def covered_regions(mask: NDArray[np.bool_], maps: NDArray[np.floating]) -> list[str] | None:
    """Return the regions that a mask covers, in index order; None for an empty mask.

    `mask` `[H, W]` bool; `maps` `[11, H, W]` share of each cell inside a part, left and right
    together: one covered side is half of a part.
    """
    if mask.mean() < EMPTY_SHARE:
        return None
    inside = (maps * mask).sum((1, 2)) / (maps.sum((1, 2)) + 1e-6)
    names = {
        label
        for label, share in zip(LOCATED_LABELS, inside, strict=True)
        if share >= _enough(label)
    }
    face = maps.max(0) > 0.3
    if not names and face[mask].mean() > 0.5:
        names = {"skin"}
    return [name for name in LABELS if name in names]


def _meta(sample: Sample, score: float) -> dict[str, object]:
    traces, strength = list(sample.traces), sample.strength
    facts = {"family": sample.family, "traces": traces, "strength": strength}
    return {**facts, "score": score}


@torch.no_grad()
def extract(
    model: Nano, samples: Sequence[Sample], seed: int, fitted: dict[str, Any], batch: int = 16
) -> Features:
    """Run the vision stages over `samples`; region labels vary as users vary them.

    `fitted` is what `calibration.json` holds: below the score's threshold no region is suspected.
    """
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, list[Tensor]] = {}
    named: list[list[str] | None] = []
    scores: list[float] = []
    for start in range(0, len(samples), batch):
        targets = [sample.seen for sample in samples[start : start + batch]]
        images = torch.from_numpy(np.stack([t.image for t in targets]))
        truth = torch.from_numpy(np.stack([t.labels for t in targets]))
        seen = model.see(normalised(images))
        suspected = (seen.score_logits > model.mask_decoder.certain).float()
        own = (seen.region_logits.sigmoid() > fitted["region_threshold"]).float() * suspected
        scores += likelihood(seen.score_logits[:, 0].numpy(), fitted["score"]).tolist()
        drawn = conditioning(truth, seen.region_logits, generator)
        keep = torch.rand(len(own), 1, generator=generator) < 0.6
        labels = torch.where(keep, own, drawn)
        logits = model.mask(seen, labels)
        for name, value in _inputs(seen, logits, labels).items():
            parts.setdefault(name, []).append(value.half())
        found = torch.nn.functional.avg_pool2d(logits[:, None], 4)[:, 0] > 0
        for mask, one in zip(found.numpy(), targets, strict=True):
            named.append(covered_regions(mask, one.maps))
    tensors = {name: torch.cat(values) for name, values in parts.items()}
    return Features(tensors, named, [_meta(*pair) for pair in zip(samples, scores, strict=True)])


def _inputs(seen: Seen, mask_logits: Tensor, region_labels: Tensor) -> dict[str, Tensor]:
    return {
        "image_embeds": seen.image_embeds,
        "region_maps": seen.region_maps,
        "mask_logits": mask_logits,
        "region_labels": region_labels,
        "region_logits": seen.region_logits,
        "score_logits": seen.score_logits,
    }
