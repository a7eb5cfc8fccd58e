"""Where a head lies on its side or upside down: the detector is asked again, in four turns.

The detector knows heads that stand about upright. It finds others too, but its landmarks in them
mean little, and a model that sees such a head as it lies calls what is strange to it manipulated.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.face_detector import SIDE, Face, FaceDetector
from ftsdk.imaging.framing import Box, cut_out, square

#: How far below the eyes the mouth of an upright head lies at least, in heights of its box. On 234
#: photographs it was 0.32 to 0.38 in 96 %, and below 0.26 in 98 % turned by a quarter or a half.
_MOUTH_BELOW_EYES = 0.28
#: Each turn is seen in a quarter of one look, this much wider than the frame.
_CELL, _WIDER = SIDE // 2, 1.6


def stands_upright(face: Face) -> bool:
    """Return whether a face has the landmarks of a head that is tilted by 35 degrees at most."""
    left_eye, right_eye, _, *corners = face.landmarks[:, 1]
    below = float(sum(corners) - left_eye - right_eye) / 2
    return below >= _MOUTH_BELOW_EYES * face.height


def upright_frame(pixels: NDArray[np.uint8], face: Face, detector: FaceDetector) -> Box:
    """Return the frame of a face, turned as its head is; one more look if that is in doubt.

    `pixels` is `[H, W, 3]` uint8 BGR. The frame is the face's own where no turn shows a head that
    stands upright.
    """
    frame = face.frame()
    if stands_upright(face):
        return frame
    around = square(np.array(frame.middle), _WIDER * frame.side)
    seen = cv2.resize(cut_out(pixels, around), (_CELL, _CELL), interpolation=cv2.INTER_AREA)
    turns = [np.rot90(seen, quarters) for quarters in range(4)]
    found = detector(np.vstack([np.hstack(turns[:2]), np.hstack(turns[2:])]))
    upright = [one for one in found if stands_upright(one)]
    if not upright:
        return frame
    return _in_picture(max(upright, key=lambda one: one.likelihood), around)


def _in_picture(face: Face, around: Box) -> Box:
    """Return the frame in the picture of a face in one of the four turns of `around`."""
    frame, scale = face.frame(), around.side / _CELL
    column, row = (int(middle >= _CELL) for middle in frame.middle)
    tilt = 90.0 * (2 * row + column)
    inside = (np.array([frame.middle]) - (column * _CELL, row * _CELL)) * scale
    middle = replace(around, angle=tilt).to_picture(inside)[0]
    angle = (tilt + frame.angle + 180) % 360 - 180
    return square(middle, frame.side * scale, angle)
