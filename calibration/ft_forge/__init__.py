"""Data sets with known masks, parts and words: forgeries of real faces, and MMTT folders."""

from __future__ import annotations

from ft_forge.faces import Face, FaceSet
from ft_forge.labels import LABELS, labels_from_mask
from ft_forge.recipe import DEFAULT_MIX, FAMILIES, UNTOUCHED, Forge, Forgery

__all__ = [
    "DEFAULT_MIX", "FAMILIES", "LABELS", "UNTOUCHED", "Face", "FaceSet", "Forge", "Forgery",
    "labels_from_mask",
]  # fmt: skip
