"""Where the parts of a face are: landmark outlines to masks."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.regions import face_region

#: MediaPipe face-mesh point numbers on each part; left and right are the subject's.
PARTS: dict[str, list[int]] = {
    "left_eye": [249, 263, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466],
    "right_eye": [7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246],
    "left_eyebrow": [276, 282, 283, 285, 293, 295, 296, 300, 334, 336],
    "right_eyebrow": [46, 52, 53, 55, 63, 65, 66, 70, 105, 107],
    "left_pupil": [474, 475, 476, 477],
    "right_pupil": [469, 470, 471, 472],
    "lip": [
        0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181,
        185, 191, 267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375,
        402, 405, 409, 415,
    ],
    "nose": [
        1, 2, 4, 5, 6, 19, 45, 48, 64, 94, 97, 98, 115, 168, 195, 197, 220, 275, 278, 294,
        326, 327, 344, 440,
    ],
    "face_oval": [
        10, 21, 54, 58, 67, 93, 103, 109, 127, 132, 136, 148, 149, 150, 152, 162, 172,
        176, 234, 251, 284, 288, 297, 323, 332, 338, 356, 361, 365, 377, 378, 379, 389,
        397, 400, 454,
    ],
    "forehead": [103, 67, 109, 10, 338, 297, 332, 70, 63, 105, 66, 107, 336, 296, 334, 293, 300],
    "chin": [152, 148, 176, 149, 150, 377, 400, 378, 379, 18, 83, 313, 200, 199, 175],
    "right_cheek": [117, 118, 101, 36, 203, 206, 207, 187, 123, 50],
    "left_cheek": [346, 347, 330, 266, 423, 426, 427, 411, 352, 280],
    "right_jaw": [172, 136, 150, 149, 210, 214, 192],
    "left_jaw": [397, 365, 379, 378, 430, 434, 416],
}  # fmt: skip

#: Parts of which a label's bare skin is made: the face without these.
_NOT_SKIN = ("left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "lip", "nose")


class Geometry:
    """Part masks of one face, from its landmarks.

    Args:
        points: `[478, 2]` float, MediaPipe face mesh with irises, x and y in pixels.
        size: height and width of the picture in pixels.
    """

    def __init__(self, points: NDArray[np.floating], size: tuple[int, int]) -> None:
        self.points = np.asarray(points, dtype=np.float32)
        self.size = size
        self._hulls: dict[tuple[str, float], NDArray[np.bool_]] = {}

    @cached_property
    def face_width(self) -> float:
        """Width of the face oval in pixels."""
        oval = self.points[PARTS["face_oval"]]
        return float(np.ptp(oval[:, 0]))

    def part_points(self, part: str) -> NDArray[np.float32]:
        """Return the outline landmarks `[n, 2]` of a part such as "left_eye"."""
        return self.points[PARTS[part]]

    def hull(self, part: str, grow: float = 0.02) -> NDArray[np.bool_]:
        """Return the part's convex hull as `[H, W]` bool, grown by `grow` face widths."""
        key = (part, round(grow, 3))
        if key not in self._hulls:
            canvas: NDArray[Any] = np.zeros(self.size, np.uint8)
            outline = cv2.convexHull(np.round(self.part_points(part)).astype(np.int32))
            cv2.fillConvexPoly(canvas, outline, 1)
            radius = round(grow * self.face_width)
            if radius > 0:  # a line with round ends dilates by a disc, and costs a tenth of it
                cv2.polylines(canvas, [outline], True, 1, 2 * radius + 1)
            self._hulls[key] = canvas.astype(bool)
        return self._hulls[key]

    @property
    def face(self) -> NDArray[np.bool_]:
        """The face oval, grown by a hundredth of its width, `[H, W]` bool."""
        return self.hull("face_oval", 0.01)

    @cached_property
    def skin(self) -> NDArray[np.bool_]:
        """The face oval without eyes, brows, nose and lips, `[H, W]` bool."""
        skin = self.hull("face_oval", 0.0).copy()
        for part in _NOT_SKIN:
            skin &= ~self.hull(part, 0.02)
        return skin

    def label_masks(self, label: str) -> list[NDArray[np.bool_]]:
        """Return one `[H, W]` bool mask a side for a located label; "mouth" is the grown lips."""
        if label == "skin":
            return [self.skin]
        if label == "mouth":
            return [self.hull("lip", 0.04)]
        grow = 0.01 if label == "pupil" else 0.02
        return [self.hull(side, grow) for side in face_region(label).outlines]
