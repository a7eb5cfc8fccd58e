"""What the frozen vision stages say about many pictures, kept for the text stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ft_forge import UNTOUCHED, FaceSet
from ft_forge.labels import COVERAGE, SKIN_COVERAGE
from ft_forge.recipe import draw_save_seed
from ftsdk.decision import EMPTY_SHARE
from ftsdk.regions import LABELS, LOCATED_LABELS, face_region

from .augment import augment, target
from .model import Nano, Seen, conditioning, normalised
from .store import Sample, Store


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


def training_samples(faces: Path, run: Path, count: int, seed: int) -> list[Sample]:
    """Draw `count` augmented training samples, every fourth one untouched."""
    rng = np.random.default_rng([seed, count])
    stores = [Store(path.parent) for path in sorted(run.glob("train-*/meta.json"))]
    folder = FaceSet(faces)
    train, _ = folder.split()
    maps = np.load(run / "maps.npy", mmap_mode="r")
    samples: list[Sample] = []
    while len(samples) < count:
        if len(samples) % 4 == 3:
            entry = train[int(rng.integers(len(train)))]
            image = folder.load(entry, draw_save_seed(rng)).image
            labels = np.zeros(len(LABELS), np.uint8)
            empty = np.zeros(image.shape[:2], np.uint8)
            meta = {"family": UNTOUCHED, "traces": [], "strength": 0.0}
            sample = Sample(image, empty, np.array(maps[entry.row]), labels, meta)
        else:
            store = stores[int(rng.integers(len(stores)))]
            sample = store[int(rng.integers(len(store)))]
        samples.append(augment(sample, rng))
    return samples


@torch.no_grad()
def extract(
    model: Nano, samples: Sequence[Sample], seed: int, threshold: float = 0.5, batch: int = 16
) -> Features:
    """Run the vision stages over `samples`; region labels vary as users vary them."""
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, list[Tensor]] = {}
    named: list[list[str] | None] = []
    for start in range(0, len(samples), batch):
        targets = [target(sample) for sample in samples[start : start + batch]]
        images = torch.from_numpy(np.stack([t.image for t in targets]))
        truth = torch.from_numpy(np.stack([t.labels for t in targets]))
        seen = model.see(normalised(images))
        own = (seen.region_logits.sigmoid() > threshold).float()
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
    return Features(tensors, named, [dict(sample.meta) for sample in samples])


def _inputs(seen: Seen, mask_logits: Tensor, region_labels: Tensor) -> dict[str, Tensor]:
    return {
        "image_embeds": seen.image_embeds,
        "region_maps": seen.region_maps,
        "mask_logits": mask_logits,
        "region_labels": region_labels,
        "region_logits": seen.region_logits,
        "score_logits": seen.score_logits,
    }
