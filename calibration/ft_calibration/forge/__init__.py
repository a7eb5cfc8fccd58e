"""Forgeries of real faces whose mask, parts and words are known, made from a seed."""

from __future__ import annotations

from .faces import Face, FaceSet
from .labels import LABELS, labels_from_mask
from .recipe import DEFAULT_MIX, FAMILIES, UNTOUCHED, Forge, Forgery

__all__ = [
    "DEFAULT_MIX", "FAMILIES", "LABELS", "UNTOUCHED", "Face", "FaceSet", "Forge", "Forgery",
    "labels_from_mask",
]  # fmt: skip
