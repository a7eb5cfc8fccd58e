"""Forgeries made once and kept on disk, so that training never waits for one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge import FAMILIES, UNTOUCHED, FaceSet, Forge
from ft_forge.picture import Image
from ftsdk.regions import LOCATED_LABELS

#: Side of the square region maps, in cells.
MAP_SIZE = 96


@dataclass(frozen=True)
class Sample:
    """One picture of a store: `image` `[H, W, 3]` uint8 BGR, `mask` `[H, W]` uint8 0/1,
    `maps` `[96, 96, 11]` uint8 share of each cell inside a part, `multilabel` `[21]` uint8."""

    image: Image
    mask: NDArray[Any]
    maps: NDArray[Any]
    multilabel: NDArray[np.uint8]
    meta: dict[str, Any]


class Store:
    """Reads a folder that :func:`write_store` wrote; pictures stay on disk until asked for."""

    def __init__(self, folder: Path) -> None:
        self.meta: list[dict[str, Any]] = json.loads((folder / "meta.json").read_text())
        self._images = np.load(folder / "images.npy", mmap_mode="r")
        self._masks = np.load(folder / "masks.npy", mmap_mode="r")
        self._maps = np.load(folder.parent / "maps.npy", mmap_mode="r")
        self.labels = np.array([item["multilabel"] for item in self.meta], np.uint8)

    def __len__(self) -> int:
        return len(self.meta)

    def __getitem__(self, index: int) -> Sample:
        meta = self.meta[index]
        mask = np.unpackbits(self._masks[index], axis=-1)
        image = np.array(self._images[index])
        return Sample(image, mask, np.array(self._maps[meta["row"]]), self.labels[index], meta)


def write_maps(faces: FaceSet, path: Path) -> None:
    """Write the region maps of every face, `[N, 96, 96, 11]` uint8 (255 = wholly inside)."""
    maps = np.zeros((len(faces.entries), MAP_SIZE, MAP_SIZE, len(LOCATED_LABELS)), np.uint8)
    for entry in faces.entries:
        geometry = faces.load(entry).geometry
        for channel, label in enumerate(LOCATED_LABELS):
            union = np.any(geometry.label_masks(label), axis=0).astype(np.uint8) * 255
            maps[entry.row, ..., channel] = cv2.resize(
                union, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA
            )
    np.save(path, maps)


def write_store(forge: Forge, plan: Sequence[str | None], folder: Path, start: int = 0) -> None:
    """Make one forgery for each name of `plan` (None: drawn from the forge's mix) and keep them.

    `start` is the first picture's number, so that two stores of one forge need not repeat.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = forge.make(start, plan[0])
    shape = (len(plan), *first.image.shape)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    packed = (*shape[:2], shape[2] // 8)
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.uint8, packed)
    rows = {entry.file: entry.row for entry in forge.faces.entries}
    meta = []
    for index, family in enumerate(plan):
        made = forge.make(start + index, family)
        images[index], masks[index] = made.image, np.packbits(made.mask, axis=-1)
        meta.append({
            "family": made.family, "file": made.face.file, "row": rows[made.face.file],
            "identity": made.face.identity, "save_seed": made.face.save_seed,
            "traces": list(made.traces), "strength": round(made.strength, 2),
            "multilabel": made.multilabel.tolist(),
        })  # fmt: skip
    images.flush()
    masks.flush()
    (folder / "meta.json").write_text(json.dumps(meta))


def prepare(faces_folder: Path, run: Path, shards: int, shard_size: int, seed: int = 1) -> None:
    """Write the training shards and the validation store of a run, skipping what exists.

    Validation holds 40 pictures a family and every untouched validation face once.
    """
    faces = FaceSet(faces_folder)
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "maps.npy").exists():
        write_maps(faces, run / "maps.npy")
    train, held_out = faces.split()
    if not (run / "validation" / "meta.json").exists():
        plan = [family for family in FAMILIES for _ in range(40)] + [UNTOUCHED] * 160
        write_store(Forge(faces, held_out, seed=seed + 1000), plan, run / "validation")
    forge = Forge(faces, train, seed=seed)
    for shard in range(shards):
        folder = run / f"train-{shard:02d}"
        if not (folder / "meta.json").exists():
            write_store(forge, [None] * shard_size, folder, start=shard * shard_size)
