"""The square in which a model sees a face, from MediaPipe's landmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ft_forge.geometry import PARTS
from ftsdk.imaging.framing import Box, aligned_box

#: The outer corners of the mouth among MediaPipe's 478 points.
MOUTH = (61, 291)


def face_box(points: NDArray[np.floating]) -> Box:
    """Return the square that the SDK cuts out for a face with landmarks `points` [478, 2] in px.

    From the outlines of the eyes and the corners of the mouth, as FFHQ's formula means them.
    """
    marks = points.astype(np.float64)
    # "Left" is the subject's in the mesh, and the viewer's in the formula.
    left, right = (marks[PARTS[side]].mean(0) for side in ("right_eye", "left_eye"))
    return aligned_box(left, right, marks[list(MOUTH)].mean(0))
