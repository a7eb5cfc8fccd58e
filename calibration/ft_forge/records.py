"""Writes made pictures as an MMTT-format data set."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ft_forge.degrade import degrade
from ft_forge.mmtt import RECORDS, Record
from ft_forge.recipe import Forgery
from ft_forge.words import words_for
from ftsdk.files import cannot_save, saving
from ftsdk.imaging.encode import encode_png


def write_records(
    forgeries: Iterable[Forgery], folder: Path, seed: int = 0, harm: float = 1.0
) -> list[Record]:
    """Write pictures and masks as PNG, and `annotations.json`; return the records.

    Every picture, forged or not, gets the same kind of random history afterwards; `harm` scales
    how often, see :func:`degrade`: 0 leaves all as the editor saved them.
    Paths are relative to the folder, `attribute` is the family ("untouched" where nothing changed).
    Raises OutputError where a file cannot be written.
    """
    try:
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_save(folder, error) from error
    records = []
    for number, made in enumerate(forgeries):
        rng = np.random.default_rng([seed, number, 1])
        name = f"{number:06d}.png"
        _write_picture(folder / "images" / name, degrade(made.image, rng, harm))
        _write_picture(folder / "masks" / name, made.mask.astype(np.uint8) * 255)
        caption = words_for(made.multilabel, made.family, made.traces, made.strength, rng)
        records.append(Record(
            Path(name).stem, number, f"images/{name}", f"masks/{name}", caption,
            made.multilabel.tolist(), made.family,
        ))  # fmt: skip
    lines = json.dumps([asdict(record) for record in records], indent=1)
    with saving(folder / RECORDS) as file:
        file.write_text(lines + "\n", encoding="utf-8")
    return records


def _write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    with saving(path) as file:
        file.write_bytes(encode_png(pixels))
