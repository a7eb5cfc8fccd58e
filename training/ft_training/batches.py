"""Endless training batches, made beside the training process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ft_forge import UNTOUCHED, Forge, Forgery
from ft_forge.faces import Entry
from ft_training.history import apply, draw_history
from ft_training.model import STRIDE
from ft_training.variations import VariedFaces
from ft_training.views import (
    SIDE,
    Target,
    draw_box,
    flipped,
    scaled,
    see,
    seen_geometry,
    truth,
    window,
)

#: images `[B, W, W, 3]` uint8 BGR, mask `[B, W/2, W/2]`, maps `[B, 11, W/8, W/8]`, labels
#: `[B, 21]` and where the windows lie in their pictures, `[B, 2]` int64 (y, x) in px.
Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]

#: How often training makes each family. Blending is what all face swaps share, and enlarging what
#: all generators do, and processing an area apart from the rest what all local edits do: these make
#: a model that finds what it was never shown. Swapped parts and warps are learnt the slowest.
TRAINING_MIX = {
    "self_blend": 0.18, "face_swap": 0.11, "resynthesis": 0.11, "part_swap": 0.13,
    "inpainting": 0.10, "retouching": 0.09, "local_warp": 0.07, "gan_edit": 0.04,
    "copy_move": 0.01, "splice": 0.01, "reprocessing": 0.11, "healing": 0.04,
}  # fmt: skip
#: Share of draws that give a forgery and its original, and only another untouched picture.
PAIRS, UNTOUCHED_ONLY = 0.73, 0.20
#: What a folder of pictures without a face weighs beside one of faces.
FACELESS = 0.5
#: How often one forgery is seen, each time with another history: making it costs the most.
VIEWS = 2
#: Windows that are shuffled at the least: those of one forgery then lie in several batches.
_SHUFFLED = 64


@dataclass(frozen=True)
class Window:
    """A window of `side` px of a picture, its corner (y, x) in px."""

    whole: Target
    corner: tuple[int, int]
    side: int

    def seen(self) -> Target:
        """Return what lies in the window."""
        return window(self.whole, self.corner, self.side)


class TrainingBatches(IterableDataset[Batch]):
    """Forged pictures and their originals, each pair with one history and seen through one window.

    Args:
        faces: the face folders.
        batch: pictures in a batch.
        seed: where the random stream starts.
        side: side of the windows in px.
    """

    def __init__(self, faces: list[Path], batch: int, seed: int, side: int) -> None:
        self.faces, self.batch, self.seed, self.side = faces, batch, seed, side

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        worker = get_worker_info()
        number, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        rng = np.random.default_rng([self.seed, number])
        sets = [VariedFaces(folder) for folder in self.faces]
        forges = [Forge(one, one.split()[0], TRAINING_MIX, self.seed) for one in sets]
        shares = np.array([_weight(forge.entries) for forge in forges])
        waiting: list[Window] = []
        while True:
            while len(waiting) < max(2 * self.batch, _SHUFFLED):
                chosen = int(rng.choice(len(forges), p=shares / shares.sum()))
                sets[chosen].turn(number)
                waiting += self._draw(forges[chosen], number, rng)
                number += stride
            rng.shuffle(waiting)
            ready, waiting = waiting[: self.batch], waiting[self.batch :]
            yield stacked(ready)

    def _draw(self, forge: Forge, number: int, rng: np.random.Generator) -> list[Window]:
        """Return windows on a forgery and its original, or on an untouched picture."""
        draw = rng.random()
        if draw < UNTOUCHED_ONLY:
            return view(forge.make(number, UNTOUCHED), (False,), self.side, rng)
        made = forge.make(number)
        halves = (True, False) if draw < UNTOUCHED_ONLY + PAIRS else (True,)
        return [one for _ in range(VIEWS) for one in view(made, halves, self.side, rng)]


def _weight(entries: list[Entry]) -> float:
    """Return how often a folder's pictures are drawn, beside those of others.

    By the root of its people: many of one source teach less than as many of all.
    """
    people = len({entry.identity for entry in entries})
    return math.sqrt(people) * (FACELESS if entries[0].faceless else 1.0)


def view(
    made: Forgery, halves: tuple[bool, ...], side: int, rng: np.random.Generator
) -> list[Window]:
    """Return one window of `side` px of each half of a pair (True is the forged one)."""
    points = made.face.geometry.points
    box = draw_box(points, rng)
    steps = draw_history(box.side, rng, varied=halves == (False,))
    mirrored = rng.random() < 0.5
    mask, maps, labels = truth(made.mask, seen_geometry(points, box), box)
    if made.face.faceless:
        maps, labels = np.zeros_like(maps), np.zeros_like(labels)
    wholes = []
    for forged in halves:
        image = apply(steps, made.image if forged else made.face.image)
        seen = see(image, scaled(box, image.shape[1] / made.face.image.shape[1]))
        whole = Target(seen, mask * forged, maps, labels * forged)
        wholes.append(flipped(whole) if mirrored else whole)
    corner = _corner(wholes[0].mask, side, rng)
    return [Window(whole, corner, side) for whole in wholes]


def stacked(windows: list[Window]) -> Batch:
    """Return `windows` as a batch."""
    seen = [one.seen() for one in windows]
    return (
        torch.from_numpy(np.stack([s.image for s in seen])),
        torch.from_numpy(np.stack([s.mask for s in seen])),
        torch.from_numpy(np.stack([s.maps for s in seen])),
        torch.from_numpy(np.stack([s.labels for s in seen])),
        torch.tensor([one.corner for one in windows]),
    )


def _corner(mask: NDArray[np.floating], side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw where a window of `side` px begins, (y, x); some pixel of `mask` lies inside.

    `mask` is `[S/2, S/2]`, as in :class:`Target`.
    """
    inside = np.argwhere(mask > 0.5)
    point = 2 * inside[rng.integers(len(inside))] if len(inside) else rng.integers(0, SIDE, 2)
    begin = (point - rng.uniform(0.1, 0.9, 2) * side) / STRIDE
    y, x = np.clip(np.rint(begin), 0, (SIDE - side) // STRIDE).astype(int) * STRIDE
    return int(y), int(x)
