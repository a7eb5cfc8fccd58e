"""What a report says about parts of the face, held against the mask."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.layout import covered_share
from ftsdk.regions import LABELS, REGIONS

#: The mask bears out a named region when it covers this share of the region's usual place.
BORNE_OUT = 0.01
_NAME_OF = {word: region.name for region in REGIONS for word in region.words}
_WORD = re.compile(r"[a-z]+")


def named_regions(text: str) -> set[str]:
    """Return the regions that `text` speaks of, in any of their words' forms."""
    words = _WORD.findall(text.lower())
    return {_NAME_OF[word] for word in words if word in _NAME_OF}


def unsupported_regions(report: str, mask: NDArray[np.bool_]) -> list[str]:
    """Return the regions that `report` names and `mask` does not bear out, in label order.

    `mask` is `[S, S]` bool in the framing of an aligned face.
    """
    named = named_regions(report)
    return [name for name in LABELS if name in named and covered_share(mask, name) < BORNE_OUT]


def claim_warning(report: str, mask: NDArray[np.bool_]) -> str | None:
    """Return what to say about a report that names places where the mask is empty, or None.

    `mask` is `[S, S]` bool in the framing of an aligned face.
    """
    regions = unsupported_regions(report, mask)
    if not regions:
        return None
    return (
        f"The report names {', '.join(regions)}, where the mask is empty; "
        "do not rely on what it says there."
    )
