"""Writes the maps of classic detectors for every picture of a data set.

    classic/bin/python benchmarks/classic/maps.py SET/annotations.json MAPS

It runs in an environment of its own (requirements.txt beside it), so it knows nothing of ftsdk.
MAPS gets a folder a detector with a `[h, w]` float32 `.npy` a picture, of at most 256 px a side.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

#: By the name of the table: module and function of pyIFD.
DETECTORS: dict[str, tuple[str, str]] = {
    "error level analysis": ("ELA", "ELA"),
    "JPEG ghosts": ("GHOST", "GHOST"),
    "aligned double JPEG, Lin": ("ADQ1", "detectDQ"),
    "aligned double JPEG, Bianchi": ("ADQ2", "getJmap"),
    "aligned double JPEG, Amerini": ("ADQ3", "BenfordDQ"),
    "double JPEG, aligned or not": ("NADQ", "NADQ"),
    "block grid": ("BLK", "GetBlockGrid"),
    "blocking artifacts": ("DCT", "DCT"),
    "content-aware block grid": ("CAGI", "CAGI"),
    "colour filter array, Ferrara": ("CFA1", "CFA1"),
    "colour filter array, Dirik": ("CFA2", "CFA2"),
    "noise variance, Mahdian": ("NOI1", "GetNoiseMap"),
    "noise variance, Lyu": ("NOI2", "GetNoiseMaps"),
    "noise variance, Zeng": ("NOI5", "PCANoise"),
    "median filter residue": ("NOI4", "MedFiltForensics"),
}
_MOST_PX = 256


def _contrast(values: Any) -> float:
    low, middle, high = np.quantile(values, [0.01, 0.5, 0.99])
    return float((high - low) / (np.median(np.abs(values - middle)) + 1e-6))


def as_map(found: Any) -> Any:
    """Return the map [h, w] float32 in what a detector of pyIFD returned.

    JPEG ghosts come as one map a quality: the one with the most contrast is taken.
    """
    if isinstance(found, (list, tuple)):
        ghosts = [one for one in found if isinstance(one, dict)]
        if ghosts:
            found = max((np.asarray(one) for one in ghosts[0].values()), key=_contrast)
        else:
            found = next(one for one in found if np.ndim(one) == 2)
    plain = np.nan_to_num(np.asarray(found, np.float32))
    scale = min(1.0, _MOST_PX / max(plain.shape))
    return cv2.resize(plain, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _detectors() -> dict[str, Callable[[str], Any]]:
    return {
        name: getattr(import_module(f"pyIFD.{module}"), function)
        for name, (module, function) in DETECTORS.items()
    }


def main(records: Path, out: Path) -> None:
    """Run every detector on every picture; what exists is kept."""
    entries = json.loads(records.read_text(encoding="utf-8"))
    folder, detectors = records.parent.resolve(), _detectors()
    out = out.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # pyIFD writes a temporary file where it stands
        for entry in entries:
            for name, detect in detectors.items():
                target = out / name / f"{entry['image_id']}.npy"
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    np.random.seed(0)  # noqa: NPY002 - Lyu's filters are drawn from this one
                    np.save(target, as_map(detect(str(folder / entry["img_path"]))))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
