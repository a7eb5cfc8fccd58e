"""What an analysis knows after each of its steps; each state is made once and never changed.

    View (seen) -> Asked (about regions) -> Located (masked) -> Result

A picture has a state a face, the most suspicious face first.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftsdk.answer import Region
from ftsdk.engines.contract import Tensors
from ftsdk.imaging.framing import Box, united
from ftsdk.imaging.picture import Picture
from ftsdk.result import Result
from ftsdk.validity import NO_FACTS, FaceFacts


@dataclass(frozen=True)
class View:
    """One face of a picture, as the model looks at it.

    Attributes:
        picture: the whole picture.
        face: the square of it that the model sees; None for all of it.
        limits: what limits every answer to this face.
        tensors: `pixel_values`, and what the vision stages made of them.
        score_threshold: from which score on the picture is suspicious; None without a score.
        facts: what says whether the model was made for the picture.
    """

    picture: Picture
    face: Box | None
    limits: tuple[str, ...]
    tensors: Tensors
    score_threshold: float | None
    facts: FaceFacts

    @classmethod
    def of_result(cls, result: Result) -> View:
        """Return a face again as it was seen for an answer to it."""
        return cls(
            result.picture, result.face, result.limits, result.image_tensors,
            result.score_threshold, NO_FACTS,
        )  # fmt: skip

    @property
    def key(self) -> Hashable:
        """What the tensors depend on."""
        return self.picture.sha256, self.face


@dataclass(frozen=True)
class Asked:
    """A view, and what is asked about it.

    Attributes:
        view: the face.
        regions: the regions that are asked about, with their probabilities.
        prompt: the question in words.
        tensors: the view's, and the prompt's.
    """

    view: View
    regions: tuple[Region, ...]
    prompt: str
    tensors: Tensors


@dataclass(frozen=True)
class Located:
    """Where one face may have been manipulated.

    Attributes:
        view: the face.
        prompt: what was asked.
        tensors: everything but what the language stages make.
        key: what they depend on: the view, the regions, and a user's mask.
        probabilities: the mask decoder's answer in the whole picture, as in `Result`.
        regions: the regions that were asked about, with the share of each that the mask covers.
        region_probabilities: every label's probability.
        score: likelihood of manipulation, or None.
    """

    view: View
    prompt: str
    tensors: Tensors
    key: Hashable
    probabilities: NDArray[np.float32]
    regions: tuple[Region, ...]
    region_probabilities: Mapping[str, float]
    score: float | None


@dataclass(frozen=True)
class LocatedPicture:
    """Where a picture may have been manipulated.

    Attributes:
        faces: the most suspicious face, and beside it the others.
        standing: answers to other faces that stay as they are.
        probabilities: the mask of all faces, as in `Result`.
        score: the highest of all faces, or None.
    """

    faces: tuple[Located, ...]
    standing: tuple[Result, ...]
    probabilities: NDArray[np.float32]
    score: float | None

    @classmethod
    def of(cls, faces: tuple[Located, ...], standing: tuple[Result, ...]) -> LocatedPicture:
        """Return faces as a picture."""
        every: list[Located | Result] = [*faces, *standing]
        scores = [face.score for face in every if face.score is not None]
        maps = [face.probabilities for face in every]
        boxes = [*(face.view.face for face in faces), *(other.face for other in standing)]
        framed = [box for box in boxes if box]  # all of them, where there are several
        picture = faces[0].view.picture
        several = len(maps) > 1
        whole = united(maps, framed, picture.height, picture.width) if several else maps[0]
        return cls(faces, standing, whole, max(scores, default=None))
