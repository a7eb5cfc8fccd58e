"""A contact sheet: picture, mask outline and family of many forgeries on one page."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from ft_forge.labels import label_names
from ft_forge.picture import Image
from ft_forge.recipe import Forgery


def _tile(made: Forgery, size: int) -> Image:
    tile = made.image.copy()
    outlines, _ = cv2.findContours(
        made.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    marked = cv2.drawContours(tile.copy(), outlines, -1, (0, 255, 0), 1)
    pair = np.hstack([tile, marked])
    pair = cv2.resize(pair, (2 * size, size), interpolation=cv2.INTER_AREA)
    text = f"{made.family} {made.strength:.0f} " + ",".join(label_names(made.multilabel))
    cv2.putText(pair, text, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 2, cv2.LINE_AA)
    cv2.putText(pair, text, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1)
    return pair


def contact_sheet(forgeries: Iterable[Forgery], columns: int = 4, size: int = 192) -> Image:
    """Return one picture [H, W, 3] uint8 BGR: each forgery plain and with its mask's outline."""
    tiles = [_tile(made, size) for made in forgeries]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)
