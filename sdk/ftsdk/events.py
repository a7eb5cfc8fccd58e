"""What a stream yields, in order of arrival: regions, mask, words, result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftsdk.result import Region, Result


@dataclass(frozen=True)
class RegionsFound:
    """The regions that the model suspects, in the model's label order; may be empty."""

    regions: tuple[Region, ...]


@dataclass(frozen=True)
class MaskReady:
    """Where: manipulation probability of the whole picture as in `Result.probabilities`, and the
    regions' areas under it; `score` is the calibrated likelihood of manipulation or None."""

    probabilities: NDArray[np.float32]
    regions: tuple[Region, ...]
    score: float | None


@dataclass(frozen=True)
class ReportToken:
    """A token of the report; the `text` of all of them together is the report.

    `text` is empty while a word is incomplete.
    """

    id: int
    text: str


@dataclass(frozen=True)
class Finished:
    """The whole answer; always last."""

    result: Result


Event = RegionsFound | MaskReady | ReportToken | Finished
