"""A face from one frame to the next, so that what the model sees does not jump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.faces import MOST_FACES, FaceFramer, Framed
from ftsdk.imaging.framing import Box, cut_out

#: A found face this near to the followed one, in sides and degrees, is the detector's noise:
#: nothing moves.
_STILL_PLACE, _STILL_SIDE, _STILL_ANGLE = 0.03, 0.12, 5.0
#: Frames after which the whole picture is searched again, for a face that came in.
_SEARCH_EVERY = 30
#: Frames for which a face that is found nowhere is taken to be where it was, as long as that place
#: looks as it did: by the correlation of grey thumbnails of so many px. A face that is blurred or
#: half covered keeps more; another scene seldom has as much.
_PATIENCE, _SAME_LOOK, _THUMBNAIL = 5, 0.6, 16


@dataclass(frozen=True)
class _Followed:
    """A face of the last frame.

    Attributes:
        box: where it is.
        look: what was seen there when it was last found, as :func:`_thumbnail` gives it.
        missing: for how many frames it was not found.
    """

    box: Box
    look: NDArray[np.float32]
    missing: int = 0

    @classmethod
    def found(cls, pixels: NDArray[np.uint8], box: Box) -> _Followed:
        """Return the face that was found at `box` of `pixels` [H, W, 3] uint8 BGR."""
        return cls(box, _thumbnail(pixels, box))

    def waits(self, pixels: NDArray[np.uint8]) -> bool:
        """Tell whether the face, which is not found in `pixels`, may still be where it was."""
        now = _thumbnail(pixels, self.box)
        size = float(np.linalg.norm(now) * np.linalg.norm(self.look))
        alike = size > 0 and float((now * self.look).sum()) >= _SAME_LOOK * size
        return alike and self.missing < _PATIENCE


class FaceFollower:
    """Frames the faces of consecutive pictures; takes the place of a `FaceFramer`.

    A face is first looked for where it was, which takes one look however large the picture. A box
    that differs by no more than the detector's noise stays the same box, so masks do not flicker. A
    face that is not found for a moment is waited for, unless the scene has changed.

    Args:
        framer: finds the faces of one frame.
    """

    def __init__(self, framer: FaceFramer) -> None:
        self._framer = framer
        self._faces: list[_Followed] = []
        #: Faces that are counted and not analysed: too small, or too many.
        self._left: list[Box] = []
        self._since_search = 0

    def __call__(self, pixels: NDArray[np.uint8]) -> Framed:
        """Return what the model is to look at of `pixels` [H, W, 3] uint8 BGR."""
        self._since_search += 1
        near = self._all_near(pixels) if self._since_search < _SEARCH_EVERY else None
        self._faces = self._searched(pixels) if near is None else near
        boxes = [*(face.box for face in self._faces), *self._left]
        boxes.sort(key=lambda box: box.side, reverse=True)
        return self._framer.frame(pixels, boxes, MOST_FACES)

    def _all_near(self, pixels: NDArray[np.uint8]) -> list[_Followed] | None:
        """Return the followed faces, each about where it was; None where one of them is not.

        And where no face is followed, or two are found at one place.
        """
        faces: list[_Followed] = []
        for face in self._faces:
            box = self._near(pixels, face.box)
            if box is None or any(_at_one_place(box, other.box) for other in faces):
                return None
            faces.append(_Followed.found(pixels, steadied(face.box, box)))
        return faces or None

    def _near(self, pixels: NDArray[np.uint8], last: Box) -> Box | None:
        return _nearest(self._framer.boxes_near(pixels, last), last)

    def _searched(self, pixels: NDArray[np.uint8]) -> list[_Followed]:
        """Return the faces of the whole picture, those that are known where they were."""
        self._since_search = 0
        every = self._framer.boxes(pixels)
        large = [box for box in every if box.side >= self._framer.smallest] or every[:1]
        self._left = [box for box in every if box not in large[:MOST_FACES]]
        # Looked at as closely as in the next frames, whose boxes are held against these.
        found = [self._near(pixels, box) or box for box in large[:MOST_FACES]]
        faces = []
        for face in self._faces:
            same = _nearest(found, face.box)
            if same:
                found.remove(same)
                faces.append(_Followed.found(pixels, steadied(face.box, same)))
            elif face.waits(pixels):
                faces.append(replace(face, missing=face.missing + 1))
        return faces + [_Followed.found(pixels, box) for box in found]


def _thumbnail(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """Return what `box` shows, small and grey, less its mean: [16, 16]."""
    seen = cv2.cvtColor(cut_out(pixels, box), cv2.COLOR_BGR2GRAY).astype(np.float32)
    small = cv2.resize(seen, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small - small.mean(), np.float32)


def _distance(one: Box, other: Box) -> float:
    return float(np.hypot(*np.subtract(one.middle, other.middle)))


def _nearest(boxes: Sequence[Box], last: Box) -> Box | None:
    """Return the box that lies nearest to `last`, of those whose middle `last` holds."""
    held = [box for box in boxes if last.holds(box.middle)]
    return min(held, key=lambda box: _distance(box, last), default=None)


def _at_one_place(one: Box, other: Box) -> bool:
    return _distance(one, other) < 0.25 * min(one.side, other.side)


def steadied(last: Box, found: Box) -> Box:
    """Return `last` where `found` differs by no more than the detector's noise."""
    moved = np.abs(np.subtract(found.middle, last.middle)).max()
    turned = abs((found.angle - last.angle + 180) % 360 - 180)
    same = (
        moved <= _STILL_PLACE * last.side
        and abs(found.side - last.side) <= _STILL_SIDE * last.side
        and turned <= _STILL_ANGLE
    )
    return last if same else found
