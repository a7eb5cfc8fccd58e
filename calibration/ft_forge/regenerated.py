"""Faces as autoencoders return them, kept beside the pictures of a face folder.

`regenerated/index.json` lists `file`, the picture it was made of (`of`) and the square of it that
was regenerated (`box`: x, y, side in px, angle in degrees). `python -m ft_training.train --part
regenerate` writes it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.picture import Image
from ftsdk.imaging.framing import Box

FOLDER = "regenerated"
#: What of a square is put back, as a share of its side: at the border an autoencoder guesses.
_KEPT = 0.96


class Regenerated:
    """The regenerated squares of a face folder; none until the folder has its index."""

    def __init__(self, root: Path) -> None:
        self.root = root / FOLDER
        self._squares: dict[str, list[tuple[str, Box]]] = defaultdict(list)

    def _read(self) -> None:
        index = self.root / "index.json"
        for one in json.loads(index.read_text(encoding="utf-8")) if index.is_file() else []:
            self._squares[one["of"]].append((one["file"], Box(*one["box"])))

    def of(self, file: str, image: Image, rng: np.random.Generator) -> Image | None:
        """Return `image` [H, W, 3] uint8 of `file` with its face regenerated, or None."""
        if not self._squares:
            self._read()
        squares = self._squares.get(file)
        if not squares:
            return None
        name, box = squares[int(rng.integers(len(squares)))]
        made = cv2.imread(str(self.root / name), cv2.IMREAD_COLOR)
        if made is None:
            return None
        method = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
        return put_back(made, box, image, method)


def put_back(made: Image, box: Box, image: Image, method: int) -> Image:
    """Return `image` [H, W, 3] uint8 with the square `made` [S, S, 3] uint8 over its `box`."""
    size, side = image.shape[1::-1], made.shape[0]
    corners = np.array([(0, 0), (box.side, 0), (0, box.side)], np.float64)
    # OpenCV counts from the middle of a pixel, a box from its corner.
    there = box.to_picture(corners).astype(np.float32) - np.float32(0.5)
    here = np.array([(0, 0), (side, 0), (0, side)], np.float32) - np.float32(0.5)
    matrix = cv2.getAffineTransform(here, there)
    placed = cv2.warpAffine(made, matrix, size, flags=method, borderMode=cv2.BORDER_REPLICATE)
    covered: NDArray[Any] = np.zeros(image.shape[:2], np.uint8)
    share = (np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) - 0.5) * _KEPT + 0.5
    outline = box.to_picture(share * box.side)
    cv2.fillConvexPoly(covered, np.round(outline).astype(np.int32), 1)
    return np.where(covered[..., None] > 0, placed, image)
