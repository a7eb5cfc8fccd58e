"""What a stream yields, in order of arrival: regions, mask, words, result."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ftsdk.answer import Region
from ftsdk.result import Result


@dataclass(frozen=True)
class RegionsFound:
    """The model suspects some regions, or none, of the face that looks most manipulated.

    Attributes:
        regions: in the model's label order; may be empty. Their areas are not known yet.

    Examples:
        >>> event = next(ftsdk.stream("face.jpg"))
        >>> print([(region.name, region.probability) for region in event.regions])
    """

    regions: tuple[Region, ...]


@dataclass(frozen=True, eq=False)
class MaskReady:
    """The model has said where, in every face, before it says why.

    Attributes:
        probabilities: manipulation probability of the whole picture, as in `Result.probabilities`:
            [M, M] float32, or of the picture's own aspect ratio and 0 outside the face.
        regions: those of `RegionsFound`, with their areas under the mask.
        score: calibrated likelihood of manipulation, 0 to 1; None if the model has none.

    Examples:
        >>> for event in ftsdk.stream("face.jpg", report=False):
        ...     if isinstance(event, ftsdk.MaskReady):
        ...         print(event.score, (event.probabilities > 0.5).mean())
    """

    probabilities: NDArray[np.float32] = field(repr=False)
    regions: tuple[Region, ...]
    score: float | None


@dataclass(frozen=True)
class ReportToken:
    """A token of the report about the face that looks most manipulated.

    What is written about others meanwhile comes with `Finished`.

    Attributes:
        id: the token's number in the bundle's tokenizer.
        text: what it adds to the report; empty while a word is incomplete. The texts of all tokens
            together are the report.

    Examples:
        >>> events = ftsdk.stream("face.jpg")
        >>> print("".join(event.text for event in events if isinstance(event, ftsdk.ReportToken)))
    """

    id: int
    text: str


@dataclass(frozen=True)
class Finished:
    """The whole answer; always last.

    Attributes:
        result: what `ftsdk.analyze` would have returned.

    Examples:
        >>> *_, finished = ftsdk.stream("face.jpg")
        >>> print(finished.result.finding)
    """

    result: Result


Event = RegionsFound | MaskReady | ReportToken | Finished
"""What `ftsdk.stream` and `Analyzer.stream` yield.

Examples:
    >>> def show(event: ftsdk.Event) -> None:
    ...     match event:
    ...         case ftsdk.RegionsFound(regions):
    ...             print(regions)
    ...         case ftsdk.ReportToken(text=text):
    ...             print(text, end="")
    >>> for event in ftsdk.stream("face.jpg"):
    ...     show(event)
"""
