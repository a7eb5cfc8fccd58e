"""Finding faces and their landmarks: the bundle's `face_detector` graph, read.

The graph is CenterFace (Xu, Yan, Sun, Yang and Luo, "CenterFace: Joint Face Detection and Alignment
Using Face as Point", 2020): for each place of a grid it says how likely a face's middle is there,
how large that face is, and where its eyes, nose and mouth lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.consistency import FACE_INPUT, FACE_OUTPUTS
from ftsdk.imaging.framing import Box, aligned_box, square

#: Most px each way that the graph sees at once, and what both sides must be multiples of.
SIDE, STEP = 320, 32

#: Px of the input a place of the grid stands for.
_STRIDE = 4

Arrays = Mapping[str, NDArray[Any]]
#: Runs the graph on `face_input` [B, 3, H, W] float32, RGB of 0 to 255.
Infer = Callable[[Arrays], Arrays]

#: Likelihood from which a place is a face.
_LIKELY = 0.6
#: Two boxes are of one face if they share this much of both together, or of the smaller one.
_SAME, _NESTED = 0.3, 0.7
#: A portrait's face is found at the close look: where it is at least so many px high there.
_CLOSE_FACE = 34
#: Where the plain look finds no face of this many px, a fine one is taken, in parts of `SIDE` px
#: that begin this far apart.
_PLAIN_FACE, _APART = 48, 256
#: Of a face that is looked for where it was: what is looked at, in sides of its frame.
_AROUND = 2.5
#: Of landmarks that mean a face: side of the frame in heights of the detector's box, and how far
#: its middle may lie from the box's, in the same unit.
_FRAME_SIDES, _FRAME_SHIFT = (0.9, 1.9), 0.3
#: The frame where landmarks mean nothing: its side, and how far its middle lies above the box's.
_BOX_SIDE, _BOX_RISE = 1.31, 0.08


@dataclass(frozen=True)
class _Look:
    """How large a picture is looked at.

    Attributes:
        longest: its long side in px at most.
        wider: by how much a frame of the detector's landmarks is wider than one of the outlines of
            eyes and mouth, which FFHQ's formula means, at a height of 0 px.
        wider_a_px: and more a px of height, up to `SIDE`. Both are fits to photographs.
    """

    longest: int
    wider: float
    wider_a_px: float

    def widening(self, height: float) -> float:
        """Return it for a face that is seen at a height in px."""
        return self.wider + self.wider_a_px * min(height, SIDE)


_CLOSE = _Look(192, wider=1.009, wider_a_px=0.00059)
_PLAIN = _Look(SIDE, wider=0.952, wider_a_px=0.00073)
_FINE = _Look(832, wider=0.952, wider_a_px=0.00073)


@dataclass(frozen=True)
class Face:
    """A face that was found, in px of the picture.

    Attributes:
        box: left, top, right and bottom of the face from forehead to chin.
        landmarks: `[5, 2]`: the left eye as one sees it, the right eye, the tip of the nose, the
            left and the right corner of the mouth.
        likelihood: the detector's own, 0 to 1.
        wider: by how much a frame of these landmarks is wider than one of the outlines of eyes and
            mouth.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    likelihood: float
    wider: float

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
            return square(np.array(found.middle), found.side / self.wider, found.angle)
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
        close = self._look(pixels, _CLOSE)
        if _has_face(close, pixels, _CLOSE_FACE / _CLOSE.longest):
            return _largest_first(close)
        faces = self._look(pixels, _PLAIN)
        if max(pixels.shape[:2]) > SIDE and not _has_face(faces, pixels, _PLAIN_FACE / SIDE):
            faces += self._look(pixels, _FINE)
        return _largest_first(distinct(faces))

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
        return _largest_first(face.moved(left, top) for face in self._look(around, _PLAIN))

    def _look(self, pixels: NDArray[np.uint8], look: _Look) -> list[Face]:
        """Return the faces that are seen at a size, in as many parts as that takes."""
        scale = min(1.0, look.longest / max(pixels.shape[:2]))
        small = shrunk(pixels, scale)
        down, across = (range(0, max(side - SIDE + _APART, 1), _APART) for side in small.shape[:2])
        faces: list[Face] = []
        for top, left in product(down, across):
            part = small[top : top + SIDE, left : left + SIDE]
            outputs = self._infer({FACE_INPUT: face_input(part)})
            first = {name: outputs[name][0] for name in FACE_OUTPUTS}
            faces.extend(read_faces(first, (left, top), scale, look.widening))
        return distinct(faces)


def face_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return [H, W, 3] uint8 BGR as the graph takes it, black to the right and below."""
    height, width = (-(-side // STEP) * STEP for side in pixels.shape[:2])
    values = np.zeros((1, 3, height, width), np.float32)
    values[0, :, : pixels.shape[0], : pixels.shape[1]] = pixels[..., ::-1].transpose(2, 0, 1)
    return values


def _has_face(faces: Iterable[Face], pixels: NDArray[np.uint8], share: float) -> bool:
    """Say whether a face is at least this share of the picture's long side high."""
    return any(face.height >= share * max(pixels.shape[:2]) for face in faces)


def _largest_first(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -face.height)


def shrunk(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return a picture [H, W, 3] uint8 at `scale`, of at least one pixel each way."""
    size = tuple(max(round(side * scale), 1) for side in pixels.shape[1::-1])
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def read_faces(
    outputs: Arrays, corner: tuple[int, int], scale: float, widening: Callable[[float], float]
) -> Iterator[Face]:
    """Yield what the graph says of one input, in px of the picture.

    Args:
        outputs: `face_likelihood` [1, h, w], `face_size` [2, h, w] (logarithms of height and width
            in strides), `face_offset` [2, h, w] (down and right, in strides), `face_landmarks`
            [10, h, w] (down and right of the box's corner in its heights and widths).
        corner: where the input lay in the picture at `scale`.
        scale: px of the input a px of the picture.
        widening: a face's height in px of the input to its `wider`.
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
            wider=widening(height),
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
