"""A face from one frame to the next, so that what the model sees does not jump."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.faces import FaceFramer, Framed
from ftsdk.imaging.framing import Box, cut_out

#: A found face this near to the followed one, in sides and degrees, is the detector's noise:
#: nothing moves.
_STILL_PLACE, _STILL_SIDE, _STILL_ANGLE = 0.03, 0.12, 5.0
#: Frames after which the whole picture is searched again, for a larger face that came in.
_SEARCH_EVERY = 30
#: Frames for which a face that is found nowhere is taken to be where it was, as long as that place
#: looks as it did: by the correlation of grey thumbnails of so many px. Blurred by a twentieth of
#: the box or half covered it is 0.65 to 0.98, in another picture seldom above 0.5.
_PATIENCE, _SAME_LOOK, _THUMBNAIL = 5, 0.6, 16


class FaceFollower:
    """Frames the largest face of consecutive pictures; takes the place of a `FaceFramer`.

    A face is first looked for where it was, which takes one look however large the picture. A box
    that differs by no more than the detector's noise stays the same box, so masks do not flicker. A
    face that is not found for a moment is waited for, unless the scene has changed.

    Args:
        framer: finds the faces of one frame.
    """

    def __init__(self, framer: FaceFramer) -> None:
        self._framer = framer
        self._boxes: Sequence[Box] = ()
        self._look = np.zeros((_THUMBNAIL, _THUMBNAIL), np.float32)
        self._since_search = self._missing = 0

    def __call__(self, pixels: NDArray[np.uint8]) -> Framed:
        """Return what the model is to look at of `pixels` [H, W, 3] uint8 BGR."""
        self._boxes = self._next(pixels)
        if self._boxes and not self._missing:
            self._look = _thumbnail(pixels, self._boxes[0])
        return self._framer.frame(pixels, self._boxes, most=1)

    def _next(self, pixels: NDArray[np.uint8]) -> Sequence[Box]:
        self._since_search += 1
        if self._boxes and self._since_search < _SEARCH_EVERY:
            last, *others = self._boxes
            same = self._near(pixels, last)
            if same:
                self._missing = 0
                return [steadied(last, same), *others]
        return self._search(pixels)

    def _near(self, pixels: NDArray[np.uint8], last: Box) -> Box | None:
        near = self._framer.boxes_near(pixels, last)
        return next((box for box in near if last.holds(box.middle)), None)

    def _search(self, pixels: NDArray[np.uint8]) -> Sequence[Box]:
        self._since_search = 0
        found = self._framer.boxes(pixels)
        if found:  # looked at as closely as in the next frames, whose boxes are held against it
            found[0] = self._near(pixels, found[0]) or found[0]
        if found and self._boxes:
            found[0] = steadied(self._boxes[0], found[0])
        self._missing = 0 if found else self._missing + 1
        waits = 0 < self._missing <= _PATIENCE and self._looks_the_same(pixels)
        return self._boxes if waits else found

    def _looks_the_same(self, pixels: NDArray[np.uint8]) -> bool:
        if not self._boxes:
            return False
        now = _thumbnail(pixels, self._boxes[0])
        size = float(np.linalg.norm(now) * np.linalg.norm(self._look))
        return size > 0 and float((now * self._look).sum()) >= _SAME_LOOK * size


def _thumbnail(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """Return what `box` shows, small and grey, less its mean: [16, 16]."""
    seen = cv2.cvtColor(cut_out(pixels, box), cv2.COLOR_BGR2GRAY).astype(np.float32)
    small = cv2.resize(seen, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small - small.mean(), np.float32)


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
