"""What is answered about one picture: the facts, without the forms in which they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ftsdk.decision import EMPTY_SHARE, cut_mask
from ftsdk.imaging.framing import Box
from ftsdk.imaging.picture import Picture
from ftsdk.validity import CannotTell

#: Side in px at which the mask of a face inside a larger picture is held against regions.
_FACE_SIDE = 256


@dataclass(frozen=True)
class Region:
    """A part of the face that may have been manipulated.

    Attributes:
        name: one of the bundle's labels.
        probability: the model's own, 0 to 1, also where a user chose the region.
        area: share of the region's usual place in an aligned face that the mask covers, 0 to 1;
            None before the mask is known.

    Examples:
        >>> for region in ftsdk.analyze("face.jpg").regions:
        ...     print(region.name, region.probability, region.area)
    """

    name: str
    probability: float
    area: float | None = None


@dataclass(frozen=True)
class Provenance:
    """What made this answer, so that it can be made again."""

    ftsdk: str
    bundle: str
    bundle_sha256: str
    precision: str
    runtime: str
    device: str
    picture_sha256: str
    created: str


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """Where a picture may have been manipulated, and why.

    Of several faces this is the most suspicious one's answer, but `mask` and `score` are of all.
    Two answers are equal where they are one; `Result.to_dict` compares what they say.

    Attributes:
        picture: the picture as it was analysed, EXIF orientation applied.
        face: the square that the model looked at, in px; None for the whole picture.
        probabilities: manipulation probability of the whole picture at the model's resolution,
            [M, M] float32, or of the picture's own aspect ratio and 0 outside the face.
        mask_threshold: cut between the mask and the rest.
        regions: the suspicious regions, in label order.
        region_probabilities: every label's probability.
        report: the text; None if none was asked for.
        report_ids: its token ids, the start token first; empty without a report.
        score: calibrated likelihood of manipulation, 0 to 1; None if the model has none, or where
            there is no answer.
        score_threshold: the operating point that `finding` uses; None without a score.
        corrections: what a user decided in the model's place: `regions`, `mask`, both or nothing.
        limits: what limits every answer to this picture by this model.
        timings: milliseconds by step; `total` is their sum.
        provenance: what made this answer.
        image_tensors: what `Analyzer.refine` needs of the picture, by tensor name.
        others: the answers to the picture's other faces, each of its own mask and score.
        operating_point: name of the rule that `score_threshold` follows, such as `fpr_0.05`.
        cannot_tell: why there is no answer: then no score, no regions, no report, and an empty
            mask; None where there is one.
    """

    picture: Picture
    face: Box | None
    probabilities: NDArray[np.float32]
    mask_threshold: float
    regions: tuple[Region, ...]
    region_probabilities: Mapping[str, float]
    report: str | None
    report_ids: tuple[int, ...]
    score: float | None
    score_threshold: float | None
    corrections: tuple[str, ...]
    limits: tuple[str, ...]
    timings: Mapping[str, float]
    provenance: Provenance
    image_tensors: Mapping[str, NDArray[np.generic]]
    others: tuple[Answer, ...] = ()
    operating_point: str | None = None
    cannot_tell: CannotTell | None = None

    def __repr__(self) -> str:
        """Return the picture's name and the finding; the arrays would hide both."""
        return f"<{type(self).__name__} of {self.picture.name!r}: {self.finding}>"

    @cached_property
    def heatmap(self) -> NDArray[np.float32]:
        """Manipulation probability [H, W] float32 at the picture's own size."""
        from ftsdk.imaging.mask import heatmap

        return heatmap(self.probabilities, self.picture.height, self.picture.width)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Manipulated pixels [H, W] bool at the picture's own size."""
        from ftsdk.imaging.mask import cut

        picture = self.picture
        return cut(self.probabilities, picture.height, picture.width, self.mask_threshold)

    @cached_property
    def face_mask(self) -> NDArray[np.bool_]:
        """Manipulated pixels [S, S] bool of what the model looked at, squared."""
        from ftsdk.imaging.framing import cut_out

        if self.face is None:
            return cut_mask(self.probabilities, self.mask_threshold)
        inside = cut_out(self.mask, self.face)
        rows = np.arange(_FACE_SIDE) * self.face.side // _FACE_SIDE
        return inside[np.ix_(rows, rows)]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What limits this answer, and what of the report the mask does not bear out."""
        from ftsdk.claims import claim_warning

        unborne = claim_warning(self.report or "", self.face_mask)
        return (*self.limits, unborne) if unborne else self.limits

    @property
    def suspected(self) -> bool | None:
        """Whether the score reaches its threshold; None without a score, and so of no answer."""
        if self.score is None or self.score_threshold is None:
            return None
        return self.score >= self.score_threshold

    @property
    def finding(self) -> str:
        """One plain sentence that claims no more than the model does."""
        if self.cannot_tell:
            return f"Cannot tell. {self.cannot_tell.detail}"
        share = float(cut_mask(self.probabilities, self.mask_threshold).mean())
        where = f"the mask covers {share:.1%} of the picture" if share else "the mask is empty"
        if self.score is None or self.score_threshold is None:
            return f"This model gives no overall score; {where}."
        if self.suspected:
            return f"Manipulation suspected (score {self.score:.2f}); {where}."
        below = f"score {self.score:.2f}, below the threshold of {self.score_threshold:.2f}"
        if share >= EMPTY_SHARE:
            return f"Weak signs only ({below}); {where}."
        return f"No manipulation found ({below}); {where}."

    def plot(self) -> NDArray[np.uint8]:
        """Return the picture with mask and outline drawn over it, [H, W, 3] uint8 BGR."""
        from ftsdk.imaging.drawing import overlay

        return overlay(self.picture.pixels, self.heatmap, self.mask)
