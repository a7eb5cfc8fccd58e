"""Finding faces and their landmarks: the bundle's `face_detector` graph, read.

The graph is CenterFace (Xu, Yan, Sun, Yang and Luo, "CenterFace: Joint Face Detection and Alignment
Using Face as Point", 2020): for each place of a grid it says how likely a face's middle is there,
how large that face is, and where its eyes, nose and mouth lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.consistency import FACE_INPUT, FACE_OUTPUTS
from ftsdk.imaging.framing import Box, aligned_box, square

#: Side in px of what the graph sees at once.
SIDE = 320

#: Px of the input a place of the grid stands for.
_STRIDE = 4
#: Places of the grid each way.
GRID = SIDE // _STRIDE

Arrays = Mapping[str, NDArray[Any]]
#: Runs the graph on `face_input` [B, 3, 320, 320] float32, RGB of 0 to 255.
Infer = Callable[[Arrays], Arrays]

#: Likelihood from which a place is a face.
_LIKELY = 0.6
#: Two boxes are of one face if they share this much of both together, or of the smaller one.
_SAME, _NESTED = 0.3, 0.7
#: Where the first look finds no face of this many px of the input, a second one is taken at a
#: picture of at most this long side, in parts of the input's size that begin this far apart.
_PLAIN_FACE, _SECOND_SIDE, _STEP = 48, 832, 256
#: Of a face that is looked for where it was: what is looked at, in sides of its frame.
_AROUND = 2.5
#: By how much a frame of the detector's landmarks is wider than one of the outlines of eyes and
#: mouth, which FFHQ's formula means: at a height of 0, and more a px of height in the input.
_WIDER, _WIDER_A_PX = 0.952, 0.00073
#: Of landmarks that mean a face: side of the frame in heights of the detector's box, and how far
#: its middle may lie from the box's, in the same unit.
_FRAME_SIDES, _FRAME_SHIFT = (0.9, 1.9), 0.3
#: The frame where landmarks mean nothing: its side, and how far its middle lies above the box's.
_BOX_SIDE, _BOX_RISE = 1.31, 0.08


@dataclass(frozen=True)
class Face:
    """A face that was found, in px of the picture.

    Attributes:
        box: left, top, right and bottom of the face from forehead to chin.
        landmarks: `[5, 2]`: the left eye as one sees it, the right eye, the tip of the nose, the
            left and the right corner of the mouth.
        likelihood: the detector's own, 0 to 1.
        seen: height in px at which the detector saw it.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    likelihood: float
    seen: float

    @property
    def height(self) -> float:
        """From forehead to chin, in px."""
        return self.box[3] - self.box[1]

    def moved(self, right: float, down: float) -> Face:
        """Return the face as a picture has it that begins as much further left and up."""
        left, top, right_edge, bottom = self.box
        box = (left + right, top + down, right_edge + right, bottom + down)
        return replace(
            self, box=box, landmarks=self.landmarks + np.array((right, down), np.float32)
        )

    def frame(self) -> Box:
        """Return the square that FFHQ shows of it; by its box where the landmarks mean no face."""
        left_eye, right_eye, _, *corners = self.landmarks.astype(np.float64)
        found = aligned_box(left_eye, right_eye, (corners[0] + corners[1]) / 2)
        left, top, right, bottom = self.box
        middle = np.array([left + right, top + bottom]) / 2
        shift = float(np.hypot(*(np.array(found.middle) - middle)))
        least, most = (share * self.height for share in _FRAME_SIDES)
        if shift <= _FRAME_SHIFT * self.height and least <= found.side <= most:
            wider = _WIDER + _WIDER_A_PX * min(self.seen, SIDE)
            return square(np.array(found.middle), found.side / wider, found.angle)
        return square(middle - (0, _BOX_RISE * self.height), _BOX_SIDE * self.height)


class FaceDetector:
    """Finds the faces of a picture.

    Args:
        infer: runs the graph.
    """

    def __init__(self, infer: Infer) -> None:
        self._infer = infer

    def __call__(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Return the faces, the largest first; `pixels` is `[H, W, 3]` uint8 BGR."""
        longest = max(pixels.shape[:2])
        faces = self._look(pixels, min(1.0, SIDE / longest))
        finer = min(1.0, _SECOND_SIDE / longest)
        plain = any(face.height * SIDE >= _PLAIN_FACE * longest for face in faces)
        if longest > SIDE and not plain:
            faces += self._look(pixels, finer)
        return sorted(distinct(faces), key=lambda face: -face.height)

    def near(self, pixels: NDArray[np.uint8], box: Box) -> list[Face]:
        """Return the faces about where a face's frame was, the largest first, at one look.

        `pixels` is [H, W, 3] uint8 BGR, and `box` in its px.
        """
        reach = _AROUND / 2 * box.side
        bounds = [
            (max(int(centre - reach), 0), max(int(centre + reach), 0)) for centre in box.middle
        ]
        (left, right), (top, bottom) = bounds
        around = pixels[top:bottom, left:right]
        if 0 in around.shape:
            return []
        faces = self._look(around, min(1.0, SIDE / max(around.shape)))
        return sorted((face.moved(left, top) for face in faces), key=lambda face: -face.height)

    def _look(self, pixels: NDArray[np.uint8], scale: float) -> list[Face]:
        """Return the faces that are seen at `scale`, in as many parts as that takes."""
        small = shrunk(pixels, scale)
        down, across = (range(0, max(side - SIDE + _STEP, 1), _STEP) for side in small.shape[:2])
        faces: list[Face] = []
        for top, left in product(down, across):
            inside = small[top : top + SIDE, left : left + SIDE]
            seen = np.zeros((SIDE, SIDE, 3), np.uint8)
            seen[: inside.shape[0], : inside.shape[1]] = inside
            values = np.ascontiguousarray(seen[None, ..., ::-1].transpose(0, 3, 1, 2), np.float32)
            outputs = self._infer({FACE_INPUT: values})
            part = {name: outputs[name][0] for name in FACE_OUTPUTS}
            faces.extend(read_faces(part, (left, top), scale))
        return distinct(faces)


def shrunk(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return a picture [H, W, 3] uint8 at `scale`, of at least one pixel each way."""
    size = tuple(max(round(side * scale), 1) for side in pixels.shape[1::-1])
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def read_faces(outputs: Arrays, corner: tuple[int, int], scale: float) -> Iterator[Face]:
    """Yield what the graph says of one input, in px of the picture.

    Args:
        outputs: `face_likelihood` [1, G, G], `face_size` [2, G, G] (logarithms of height and width
            in strides), `face_offset` [2, G, G] (down and right, in strides), `face_landmarks`
            [10, G, G] (down and right of the box's corner in its heights and widths).
        corner: where the input lay in the picture at `scale`.
        scale: px of the input a px of the picture.
    """
    likelihood = outputs["face_likelihood"][0]
    peaks = likelihood >= np.maximum(cv2.dilate(likelihood, np.ones((3, 3))), _LIKELY)
    rows, columns = np.nonzero(peaks)
    size = np.exp(outputs["face_size"][:, rows, columns]) * _STRIDE
    offset = outputs["face_offset"][:, rows, columns]
    middle = (np.stack([rows, columns]) + offset + 0.5) * _STRIDE
    first = middle - size / 2
    marks = outputs["face_landmarks"][:, rows, columns].reshape(5, 2, -1)
    marks = first + marks * size
    for index in range(len(rows)):
        down, right = first[:, index].tolist()
        height, width = size[:, index].tolist()
        left, top = (right + corner[0]) / scale, (down + corner[1]) / scale
        yield Face(
            box=(left, top, left + width / scale, top + height / scale),
            landmarks=((marks[:, ::-1, index] + corner) / scale).astype(np.float32),
            likelihood=float(likelihood[rows[index], columns[index]]),
            seen=height,
        )


def distinct(faces: list[Face]) -> list[Face]:
    """Return the faces, the likeliest first, without those that are a likelier one once more."""
    left = sorted(faces, key=lambda face: -face.likelihood)
    boxes = np.array([face.box for face in left]).reshape(-1, 4)
    kept: list[int] = []
    for index in range(len(left)):
        if not same_face(boxes[index], boxes[kept]).any():
            kept.append(index)
    return [left[index] for index in kept]


def same_face(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say [N] of a box [4] and others [N, 4] (left, top, right, bottom) if they are of one face."""
    across = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    down = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    shared = across.clip(0) * down.clip(0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    of_both = shared >= _SAME * (area + areas - shared)
    of_smaller = shared >= _NESTED * np.minimum(area, areas)
    same: NDArray[np.bool_] = of_both | of_smaller
    return same
