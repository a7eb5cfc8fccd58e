"""What of a picture a model is to look at: all of it, or each of its faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.face_detector import FaceDetector, Infer
from ftsdk.imaging.framing import Box, Framing, cut_out

#: A frame that overlaps the picture this much (intersection over union) is the picture.
_ALIGNED = 0.7
_SMALL_FACE = 96
#: More faces than this are not analysed; the largest are.
MOST_FACES = 16


@dataclass(frozen=True)
class Framed:
    """What the model is to look at.

    Attributes:
        pixels: `[side, side, 3]` uint8 BGR of the face, or the whole picture.
        box: where that is; None for the whole picture.
        notes: what a reader of the answer must know about the choice.
        others: the picture's smaller faces.
    """

    pixels: NDArray[np.uint8]
    box: Box | None
    notes: tuple[str, ...] = ()
    others: tuple[Framed, ...] = ()


#: Says what of a picture `[H, W, 3]` uint8 BGR the model is to look at.
Framer = Callable[[NDArray[np.uint8]], Framed]


def frame_whole(pixels: NDArray[np.uint8]) -> Framed:
    """Frame the whole picture, whatever it shows."""
    return Framed(pixels, None)


class FaceFramer:
    """Frames every face of a picture.

    Args:
        detector: finds them.
        size: side in px that the model will see.
    """

    def __init__(self, detector: FaceDetector, size: int) -> None:
        self._detector, self.size = detector, size

    def boxes(self, pixels: NDArray[np.uint8]) -> list[Box]:
        """Return the frame of each face of `pixels` `[H, W, 3]` uint8 BGR, the largest first."""
        return [face.frame() for face in self._detector(pixels)]

    def boxes_near(self, pixels: NDArray[np.uint8], box: Box) -> list[Box]:
        """Return the frames of the faces that are about where `box` was; takes one look."""
        return [face.frame() for face in self._detector.near(pixels, box)]

    def __call__(self, pixels: NDArray[np.uint8]) -> Framed:
        return frame_boxes(pixels, self.boxes(pixels), self.size)


def make_framer(framing: Framing, size: int, infer: Infer) -> Framer:
    """Return what frames pictures for a model.

    Args:
        framing: what the model was trained on.
        size: side in px that it will see.
        infer: runs the bundle's face detector; not called for whole pictures.
    """
    return frame_whole if framing == "picture" else FaceFramer(FaceDetector(infer), size)


def frame_boxes(
    pixels: NDArray[np.uint8], boxes: Sequence[Box], size: int, most: int = MOST_FACES
) -> Framed:
    """Return the first `most` faces of `boxes`, the largest first.

    It is the whole picture where that is the first face, or where there is no box. `size` is the
    side in px that the model will see: a head smaller than that is turned and enlarged at once.
    """
    if not boxes:
        return Framed(pixels, None, ("No face was found; the whole picture was analysed.",))
    if is_whole(boxes[0], pixels):
        return Framed(pixels, None, _notes(boxes[0], 1, most))
    first, *others = (
        Framed(cut_out(pixels, box, max(box.side, size)), box, _notes(box, len(boxes), most))
        for box in boxes[:most]
    )
    return replace(first, others=tuple(others))


def _notes(box: Box, found: int, most: int) -> tuple[str, ...]:
    notes = []
    if found > 1:
        several = "the largest was" if most == 1 else f"the {most} largest were"
        which = several if found > most else "each was"
        notes.append(f"This is one of {found} faces that were found; {which} analysed.")
    if box.side < _SMALL_FACE:
        notes.append(f"The face is only {box.side} px across; traces may be lost at that size.")
    return tuple(notes)


def is_whole(box: Box, pixels: NDArray[np.uint8]) -> bool:
    """Say whether a picture is, as it is, about what `box` shows."""
    height, width = pixels.shape[:2]
    across = max(0, min(box.x + box.side, width) - max(box.x, 0))
    down = max(0, min(box.y + box.side, height) - max(box.y, 0))
    shared = across * down / (box.side**2 + width * height - across * down)
    return not box.angle and shared >= _ALIGNED
