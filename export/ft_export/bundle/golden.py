"""The picture that every bundle carries, and how long its report may be."""

from __future__ import annotations

from pathlib import Path

from ftsdk.language.options import Language

GOLDEN_PICTURE = Path(__file__).with_name("golden_picture.png")
GOLDEN_TEXT = Language(max_new_tokens=24)
