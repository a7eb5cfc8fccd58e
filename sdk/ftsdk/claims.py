"""What a report says about parts of the face, held against the mask."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.layout import covered_share

#: The words that speak of each region, in lower case. "Eyes" say nothing of pupils, nor a mouth
#: of lips.
WORDS: Mapping[str, tuple[str, ...]] = {
    "eye": ("eye", "eyes", "eyelid", "eyelids", "eyelash", "eyelashes", "eyeball", "eyeballs"),
    "pupil": ("pupil", "pupils", "iris", "irises"),
    "lip": ("lip", "lips"),
    "mouth": ("mouth", "mouths"),
    "nose": ("nose", "noses", "nostril", "nostrils", "nasal"),
    "ear": ("ear", "ears", "earlobe", "earlobes"),
    "cheek": ("cheek", "cheeks", "cheekbone", "cheekbones"),
    "forehead": ("forehead", "foreheads"),
    "chin": ("chin", "chins"),
    "jaw": ("jaw", "jaws", "jawline", "jawlines"),
    "eyebrow": ("eyebrow", "eyebrows", "brow", "brows"),
    "tooth": ("tooth", "teeth"),
    "tongue": ("tongue", "tongues"),
    "beard": ("beard", "beards", "goatee", "stubble"),
    "mustache": ("mustache", "mustaches", "moustache", "moustaches"),
    "skin": ("skin", "complexion"),
    "hair": ("hair", "hairs", "hairline"),
    "wrinkle": ("wrinkle", "wrinkles"),
    "freckle": ("freckle", "freckles"),
    "scar": ("scar", "scars"),
    "dimple": ("dimple", "dimples"),
}
#: The mask bears out a named region when it covers this share of the region's usual place.
BORNE_OUT = 0.01
_REGION_OF = {word: region for region, words in WORDS.items() for word in words}
_WORD = re.compile(r"[a-z]+")


def named_regions(text: str) -> set[str]:
    """Return the regions that `text` speaks of, in any of their words' forms."""
    words = _WORD.findall(text.lower())
    return {_REGION_OF[word] for word in words if word in _REGION_OF}


def unsupported_regions(report: str, mask: NDArray[np.bool_]) -> list[str]:
    """Return the regions that `report` names and `mask` does not bear out, in label order.

    `mask` is `[S, S]` bool in the framing of an aligned face.
    """
    named = named_regions(report)
    return [name for name in WORDS if name in named and covered_share(mask, name) < BORNE_OUT]


def claim_warning(report: str, mask: NDArray[np.bool_]) -> str | None:
    """Return what to say about a report that names places where the mask is empty, or None."""
    regions = unsupported_regions(report, mask)
    if not regions:
        return None
    return (
        f"The report names {', '.join(regions)}, where the mask is empty; "
        "do not rely on what it says there."
    )
