"""What a model was not made for: then there is no answer, and its place is taken by the reason.

The limits are the bundle's own (`validity` of its manifest); each is measured when the model is
calibrated, and one that was not measured is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.faces import Framed
from ftsdk.imaging.picture import Picture
from ftsdk.manifest import ValidityEntry

#: Side in px at which sharpness is measured, so that it does not depend on a face's size.
_SHARPNESS_SIDE = 256


class Reason(StrEnum):
    """Why a picture cannot be told."""

    NO_FACE = "no face"
    SMALL_FACE = "small face"
    UNSURE = "unsure"
    COMPRESSION = "compression"
    BLUR = "blur"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class CannotTell:
    """Why there is no answer.

    Attributes:
        reason: of which kind.
        detail: one sentence, with what was found and what would have been needed.
    """

    reason: Reason
    detail: str


@dataclass(frozen=True)
class FaceFacts:
    """What is known of the face that a model is to look at.

    Attributes:
        side: px across of the largest one's frame in the picture; None where no face was found or
            looked for.
        sharpness: see the function of this name.
        jpeg_quality: of the file that it was in; None for other files and for pixels.
        damaged: a part of the pixels is not the picture's.
    """

    side: int | None
    sharpness: float
    jpeg_quality: int | None = None
    damaged: bool = False


def facts_of(picture: Picture, framed: Framed, limits: ValidityEntry) -> FaceFacts:
    """Return what is known of a picture and of its largest face; measures what has a limit."""
    sharp = sharpness(framed.pixels) if limits.lowest_sharpness else np.inf
    return FaceFacts(framed.face_side, sharp, picture.jpeg_quality, picture.damaged)


#: Of what was not looked at, such as an answer that a user corrects.
NO_FACTS = FaceFacts(None, np.inf)


def beyond(facts: FaceFacts, limits: ValidityEntry) -> CannotTell | None:
    """Return why a picture is beyond what the model was made for; None if it is not.

    Args:
        facts: of the largest face.
        limits: the bundle's.
    """
    if facts.damaged:
        return CannotTell(Reason.DAMAGED, "The file is damaged: a part of its pixels is missing.")
    if facts.side is None:
        missing = CannotTell(Reason.NO_FACE, "No face was found, and the model knows faces only.")
        return missing if limits.needs_face else None
    return _too_little(facts, limits)


def _too_little(facts: FaceFacts, limits: ValidityEntry) -> CannotTell | None:
    side, quality = facts.side, facts.jpeg_quality
    if limits.smallest_face and side is not None and side < limits.smallest_face:
        found = f"The largest face is {side} px across; the model was measured on faces of"
        return CannotTell(Reason.SMALL_FACE, f"{found} {limits.smallest_face} px or more.")
    if limits.lowest_jpeg_quality and quality and quality < limits.lowest_jpeg_quality:
        found = f"The file was saved with a JPEG quality of about {quality}; the model was measured"
        return CannotTell(Reason.COMPRESSION, f"{found} from {limits.lowest_jpeg_quality} on.")
    if limits.lowest_sharpness and facts.sharpness < limits.lowest_sharpness:
        found = f"The face is blurred (sharpness {facts.sharpness:.1f}); the model was measured"
        return CannotTell(Reason.BLUR, f"{found} from {limits.lowest_sharpness:g} on.")
    return None


def unsure(score: float | None, limits: ValidityEntry) -> CannotTell | None:
    """Return that a picture's score lies where this model is as often wrong as right, or None."""
    band = limits.unsure_scores
    if score is None or band is None or not band[0] <= score < band[1]:
        return None
    detail = f"The score lies between {band[0]:g} and {band[1]:g}, where the model is often wrong."
    return CannotTell(Reason.UNSURE, detail)


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """Return the standard deviation of a face's Laplacian, in grey levels at 256 px a side.

    `pixels` is `[H, W, 3]` uint8 BGR. A smaller face is not enlarged: that would blur it.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    if min(grey.shape) > _SHARPNESS_SIDE:
        size = (_SHARPNESS_SIDE, _SHARPNESS_SIDE)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std())
