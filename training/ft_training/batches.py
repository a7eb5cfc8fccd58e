"""Endless training batches, made beside the training process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from ft_forge import UNTOUCHED, FaceSet

from .augment import Target, augment, target, window
from .model import STRIDE
from .store import Sample, Store

#: images `[B, W, W, 3]` uint8 BGR, mask `[B, W/2, W/2]`, maps `[B, 11, W/8, W/8]`, labels
#: `[B, 21]` and where the windows lie in their pictures, `[B, 2]` int64 (y, x) in px.
Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]

#: Share of untouched pictures in a batch.
UNTOUCHED_SHARE = 0.3


@dataclass(frozen=True)
class View:
    """How training looks at its pictures: windows of `side` px, degraded `harm` times as often."""

    side: int
    harm: float


class TrainingBatches(IterableDataset[Batch]):
    """Forged pictures from the shards, and the originals of some, augmented.

    An original goes through the very same augmentation as its forgery and is seen through the same
    window: the traces are all that tells the two apart.

    Args:
        faces: the face folder.
        run: the folder that holds `train-*` shards.
        batch: pictures in a batch.
        seed: where the random stream starts.
        view: windows and degradation.
    """

    def __init__(self, faces: Path, run: Path, batch: int, seed: int, view: View) -> None:
        self.faces, self.run, self.batch, self.seed, self.view = faces, run, batch, seed, view

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        rng = np.random.default_rng(self.seed)
        stores = [Store(path.parent) for path in sorted(self.run.glob("train-*/meta.json"))]
        faces = FaceSet(self.faces)
        waiting: list[tuple[Target, tuple[int, int]]] = []
        while True:
            while len(waiting) < self.batch:
                waiting += self._draw(stores, faces, rng)
            ready, waiting = waiting[: self.batch], waiting[self.batch :]
            seen = [window(whole, corner, self.view.side) for whole, corner in ready]
            yield (
                torch.from_numpy(np.stack([s.image for s in seen])),
                torch.from_numpy(np.stack([s.mask for s in seen])),
                torch.from_numpy(np.stack([s.maps for s in seen])),
                torch.from_numpy(np.stack([s.labels for s in seen])),
                torch.tensor([corner for _, corner in ready]),
            )

    def _draw(
        self, stores: list[Store], faces: FaceSet, rng: np.random.Generator
    ) -> list[tuple[Target, tuple[int, int]]]:
        """Return a forgery, and now and then its original, with the window's corner."""
        forged = _forged(stores, rng)
        drawn = [forged]
        if rng.random() < UNTOUCHED_SHARE / (1 - UNTOUCHED_SHARE):
            entry = faces.entries[forged.meta["row"]]
            original = faces.load(entry, forged.meta["save_seed"]).image
            nothing = np.zeros_like(forged.mask), forged.maps, np.zeros_like(forged.multilabel)
            drawn.append(Sample(original, *nothing, forged.meta))
        seed = int(rng.integers(2**63))
        wholes = [
            target(augment(one, np.random.default_rng(seed), self.view.harm)) for one in drawn
        ]
        corner = _corner(wholes[0].mask, self.view.side, rng)
        return [(whole, corner) for whole in wholes]


def _forged(stores: list[Store], rng: np.random.Generator) -> Sample:
    while True:
        store = stores[int(rng.integers(len(stores)))]
        index = int(rng.integers(len(store)))
        if store.meta[index]["family"] != UNTOUCHED:
            return store[index]


def _corner(mask: NDArray[np.floating], side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw where a window of `side` px begins, (y, x); some pixel of `mask` lies inside.

    `mask` is `[S/2, S/2]`, as in :class:`Target`.
    """
    inside = np.argwhere(mask > 0.5)
    size = 2 * len(mask)
    point = 2 * inside[rng.integers(len(inside))] if len(inside) else rng.integers(0, size, 2)
    begin = (point - rng.uniform(0.1, 0.9, 2) * side) / STRIDE
    y, x = np.clip(np.rint(begin), 0, (size - side) // STRIDE).astype(int) * STRIDE
    return int(y), int(x)
