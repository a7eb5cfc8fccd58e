"""Writes made pictures as an MMTT-format data set."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from .degrade import degrade
from .recipe import Forgery
from .words import words_for

#: The file that holds the records, a JSON list.
RECORDS = "annotations.json"


@dataclass(frozen=True)
class Record:
    """One line of an MMTT data set.

    `img_path` and `mask_path` are relative to the folder, `multilabel` holds 21 x 0/1 and
    `attribute` the forgery's family ("untouched" where nothing was changed).
    """

    image_id: str
    instance_id: int
    img_path: str
    mask_path: str
    caption: str
    multilabel: list[int]
    attribute: str


def write_records(
    forgeries: Iterable[Forgery], folder: Path, seed: int = 0, strength: float = 1.0
) -> list[Record]:
    """Write pictures and masks as PNG, and `annotations.json`; return the records.

    Every picture, forged or not, gets the same kind of random history; `strength` scales it.
    """
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    records = []
    for number, made in enumerate(forgeries):
        rng = np.random.default_rng([seed, number, 1])
        name = f"{number:06d}.png"
        cv2.imwrite(str(folder / "images" / name), degrade(made.image, rng, strength))
        cv2.imwrite(str(folder / "masks" / name), made.mask.astype(np.uint8) * 255)
        caption = words_for(made.multilabel, made.family, made.traces, made.strength, rng)
        records.append(Record(
            Path(name).stem, number, f"images/{name}", f"masks/{name}", caption,
            made.multilabel.tolist(), made.family,
        ))  # fmt: skip
    lines = json.dumps([asdict(record) for record in records], indent=1)
    (folder / RECORDS).write_text(lines + "\n", encoding="utf-8")
    return records
