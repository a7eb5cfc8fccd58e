"""Endless training batches, made beside the training process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from ft_calibration.forge import LABELS, UNTOUCHED, FaceSet

from .augment import augment, target
from .store import Sample, Store

#: pixels `[B, 3, S, S]`, mask `[B, S/2, S/2]`, maps `[B, 11, S/8, S/8]`, labels `[B, 21]`.
Batch = tuple[Tensor, Tensor, Tensor, Tensor]

#: Share of untouched pictures in a batch, and of GAN edit levels among them (as many as among
#: the forged, or a person would give the answer away).
UNTOUCHED_SHARE = 0.25
EDIT_SHARE = 0.35


class TrainingBatches(IterableDataset[Batch]):
    """Forged pictures from the shards and untouched ones from the face folder, augmented.

    Args:
        faces: the face folder.
        run: the folder that holds `train-*` shards.
        batch: pictures in a batch.
        seed: where the random stream starts.
    """

    def __init__(self, faces: Path, run: Path, batch: int, seed: int) -> None:
        self.faces, self.run, self.batch, self.seed = faces, run, batch, seed

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        rng = np.random.default_rng(self.seed)
        stores = [Store(path.parent) for path in sorted(self.run.glob("train-*/meta.json"))]
        faces = FaceSet(self.faces)
        train, _ = faces.split()
        base = [entry for entry in train if not entry.attribute]
        edits = [entry for entry in train if entry.attribute] or base
        maps = np.load(self.run / "maps.npy", mmap_mode="r")
        while True:
            samples = []
            for _ in range(self.batch):
                if rng.random() < UNTOUCHED_SHARE:
                    pool = edits if rng.random() < EDIT_SHARE else base
                    entry = pool[int(rng.integers(len(pool)))]
                    image = faces.load(entry).image
                    empty = np.zeros(image.shape[:2], np.uint8)
                    labels = np.zeros(len(LABELS), np.uint8)
                    sample = Sample(image, empty, np.array(maps[entry.row]), labels, {})
                else:
                    sample = _forged(stores, rng)
                samples.append(target(augment(sample, rng)))
            yield (
                torch.from_numpy(np.stack([s.pixels for s in samples])),
                torch.from_numpy(np.stack([s.mask for s in samples])),
                torch.from_numpy(np.stack([s.maps for s in samples])),
                torch.from_numpy(np.stack([s.labels for s in samples])),
            )


def _forged(stores: list[Store], rng: np.random.Generator) -> Sample:
    while True:
        store = stores[int(rng.integers(len(stores)))]
        index = int(rng.integers(len(store)))
        if store.meta[index]["family"] != UNTOUCHED:
            return store[index]
