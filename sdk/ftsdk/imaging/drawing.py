"""Pictures for people: the mask over the picture, and the heat map in colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import ArrayError

ACCENT = (120, 45, 255)
"""BGR of the mask's tint and outline: a magenta that no skin, hair or sky has."""
_TINT = 0.45
_HALO = (255, 255, 255)
# Rows drawn at a time, which bounds the float intermediates of large pictures.
_BAND = 512


def overlay(
    pixels: NDArray[np.uint8], heatmap: NDArray[np.float32], mask: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Tint and outline the mask; the surer the model, the stronger the tint.

    Args:
        pixels: `[H, W, 3] uint8` BGR; it stays as it is.
        heatmap: `[H, W] float32`, 0 to 1.
        mask: `[H, W] bool`.

    Returns:
        `[H, W, 3] uint8` BGR.

    Raises:
        ArrayError: the three differ in height or width.
    """
    if not pixels.shape[:2] == heatmap.shape == mask.shape:
        raise ArrayError(
            "Picture, heat map and mask do not fit each other.",
            expected=f"[{pixels.shape[0]}, {pixels.shape[1]}] for all three",
            found=f"heat map {list(heatmap.shape)}, mask {list(mask.shape)}",
            cure="Resize the maps with ftsdk.imaging.mask.heatmap and cut.",
        )
    drawn = pixels.copy()
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    columns = slice(left, left + width)
    for row in range(top, top + height, _BAND):
        box = slice(row, min(row + _BAND, top + height)), columns
        _tint(drawn[box], heatmap[box], mask[box])
    _outline(drawn, mask)
    return drawn


def colour_heatmap(heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour 0 to 1 from black over red to pale yellow, evenly to the eye (Inferno).

    Args:
        heatmap: `[H, W] float32`; values outside 0 to 1 are clipped.

    Returns:
        `[H, W, 3] uint8` BGR.
    """
    levels = np.empty(heatmap.shape, np.uint8)
    for top in range(0, len(levels), _BAND):
        band = np.clip(heatmap[top : top + _BAND], 0.0, 1.0)
        levels[top : top + _BAND] = np.rint(band * 255.0)
    return cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO).astype(np.uint8, copy=False)


def _tint(pixels: NDArray[np.uint8], heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
    strength = (_TINT * np.clip(heat, 0.0, 1.0) * mask)[:, :, None]
    accent = np.array(ACCENT, np.float32)
    pixels[:] = np.rint(pixels + (accent - pixels) * strength).astype(np.uint8)


def _outline(drawn: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    line = max(1, round(min(mask.shape) / 256))
    for colour, thickness in ((_HALO, line + 2), (ACCENT, line)):
        cv2.drawContours(drawn, contours, -1, colour, thickness, cv2.LINE_AA)
