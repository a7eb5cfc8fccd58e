"""Holds the maps of `maps.py` against the truth, as `ft-eval` does it with nano's.

    python -m benchmarks.classic.score SET MAPS

A classic detector gives a map and no verdict. Its picture's score is here how far the map's
strongest places stand out; its mask is cut where the mean IoU over this very data set is highest,
at either end of the map: both flatter it, and no user could choose so well.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_eval.metrics import auc, found_at
from ft_forge.mmtt import Mask, MmttData
from ftsdk.decision import mask_iou

#: The share of a map that counts as its strongest places.
_STRONGEST = 0.005
_CUTS = np.linspace(0.5, 8.0, 31)
_SIDE = 192

Map = NDArray[np.float32]


def standardised(found: Map) -> Map:
    """Return a map [h, w] in deviations from its median, as large as masks are compared."""
    square = cv2.resize(found, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    centred = square - np.median(square)
    spread = 1.4826 * float(np.median(np.abs(centred))) or float(centred.std()) or 1.0
    return np.asarray(centred / spread, np.float32)


def prominence(values: Map) -> float:
    """Return how far the strongest places of a standardised map stand out at either end."""
    low, high = np.quantile(values, [_STRONGEST, 1 - _STRONGEST])
    return float(max(high, -low))


def best_iou(maps: list[Map], masks: list[Mask]) -> float:
    """Return the highest mean IoU that one cut, at one end, reaches over all pictures."""
    means = [
        np.mean([mask_iou(sign * one > cut, mask) for one, mask in zip(maps, masks, strict=True)])
        for sign in (1, -1)
        for cut in _CUTS
    ]
    return float(max(means))


def scores(data: MmttData, folder: Path) -> dict[str, Any]:
    """Return the figures of one detector, whose maps lie in `folder`."""
    untouched: list[float] = []
    forged: list[float] = []
    maps: list[Map] = []
    masks: list[Mask] = []
    for record in data.records:
        values = standardised(np.load(folder / f"{record.image_id}.npy"))
        truth = data.mask(record)
        (untouched if truth is None else forged).append(prominence(values))
        if truth is not None:
            small = cv2.resize(truth.astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            maps.append(values)
            masks.append(np.asarray(small > 0))
    quiet, loud = np.array(untouched), np.array(forged)
    return {
        "iou": best_iou(maps, masks),
        "auc": auc(quiet, loud),
        "found_at_5": found_at(quiet, loud, 0.05),
    }


def main(data: Path, maps: Path) -> None:
    """Print the figures of every detector as JSON."""
    read = MmttData(data)
    folders = sorted(path for path in maps.iterdir() if path.is_dir())
    print(json.dumps({folder.name: scores(read, folder) for folder in folders}, indent=2))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
