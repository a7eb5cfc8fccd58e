"""Where the parts of a face are: landmark outlines to masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.regions import face_region

#: Parts of which a label's bare skin is made: the face without these.
_NOT_SKIN = ("left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "lip", "nose")


class Geometry:
    """Part masks of one face, from its landmarks.

    Args:
        points: `[478, 2]` float, MediaPipe face mesh with irises, x and y in pixels.
        parts: part name to the landmark numbers on its outline.
        size: height and width of the picture in pixels.
    """

    def __init__(
        self,
        points: NDArray[np.floating],
        parts: Mapping[str, Sequence[int]],
        size: tuple[int, int],
    ) -> None:
        self.points = np.asarray(points, dtype=np.float32)
        self.parts = parts
        self.size = size
        self._hulls: dict[tuple[str, float], NDArray[np.bool_]] = {}

    @cached_property
    def face_width(self) -> float:
        """Width of the face oval in pixels."""
        oval = self.points[list(self.parts["face_oval"])]
        return float(np.ptp(oval[:, 0]))

    def part_points(self, part: str) -> NDArray[np.float32]:
        """Return the outline landmarks `[n, 2]` of a part such as "left_eye"."""
        return self.points[list(self.parts[part])]

    def hull(self, part: str, grow: float = 0.02) -> NDArray[np.bool_]:
        """Return the part's convex hull as `[H, W]` bool, grown by `grow` face widths."""
        key = (part, round(grow, 3))
        if key not in self._hulls:
            canvas: NDArray[Any] = np.zeros(self.size, np.uint8)
            outline = cv2.convexHull(np.round(self.part_points(part)).astype(np.int32))
            cv2.fillConvexPoly(canvas, outline, 1)
            radius = round(grow * self.face_width)
            if radius > 0:
                shape = (2 * radius + 1, 2 * radius + 1)
                canvas = cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, shape))
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
