"""A face from one frame to the next, so that what the model sees does not jump."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.faces import (
    Box,
    Framed,
    Framing,
    find_face_near,
    find_faces,
    frame,
    frame_boxes,
)

#: A found face this near to the followed one, in sides, is the detector's noise: nothing moves.
_STILL_PLACE, _STILL_SIDE = 0.03, 0.08
#: Frames after which the whole picture is searched again, for a larger face that came in.
_SEARCH_EVERY = 30
#: Frames for which a face that is found nowhere is taken to be where it was.
_PATIENCE = 5


class FaceFollower:
    """Frames the largest face of consecutive pictures; takes the place of `faces.frame`.

    A face is first looked for where it was, which also takes a tenth of the time. A box that
    differs by no more than the detector's noise stays the same box, so masks do not flicker.
    """

    def __init__(self) -> None:
        self._boxes: Sequence[Box] = ()
        self._since_search = self._missing = 0

    def __call__(self, pixels: NDArray[np.uint8], framing: Framing) -> Framed:
        """Return what the model is to look at."""
        if framing == "picture":
            return frame(pixels, framing)
        self._boxes = self._next(pixels)
        return frame_boxes(pixels, self._boxes, most=1)

    def _next(self, pixels: NDArray[np.uint8]) -> Sequence[Box]:
        self._since_search += 1
        if self._boxes and self._since_search < _SEARCH_EVERY:
            first, *others = (find_face_near(pixels, box) for box in self._boxes)
            if first:
                self._missing = 0
                pairs = zip(self._boxes, (first, *others), strict=True)
                return [steadied(last, near) for last, near in pairs if near]
        self._since_search = 0
        found = find_faces(pixels)
        if found and self._boxes:
            found[0] = steadied(self._boxes[0], found[0])
        self._missing = 0 if found else self._missing + 1
        return self._boxes if 0 < self._missing <= _PATIENCE else found


def steadied(last: Box, found: Box) -> Box:
    """Return `last` where `found` differs by no more than the detector's noise."""
    place = _STILL_PLACE * last.side
    moved = max(
        abs(found.x + found.side / 2 - last.x - last.side / 2),
        abs(found.y + found.side / 2 - last.y - last.side / 2),
    )
    same = moved <= place and abs(found.side - last.side) <= _STILL_SIDE * last.side
    return last if same else found
