"""What of a picture a model is to look at: all of it, or each of its faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.face_detector import Face, FaceDetector, Infer
from ftsdk.imaging.framing import Box, cut_out
from ftsdk.imaging.upright import upright_frame
from ftsdk.manifest import Manifest

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
        face_side: px across of the largest face's frame; None where none was found or looked for.
    """

    pixels: NDArray[np.uint8]
    box: Box | None
    notes: tuple[str, ...] = ()
    others: tuple[Framed, ...] = ()
    face_side: int | None = None

    @property
    def faces(self) -> tuple[Framed, ...]:
        """This and the others, the largest first."""
        return (self, *self.others)


#: Says what of a picture `[H, W, 3]` uint8 BGR the model is to look at.
Framer = Callable[[NDArray[np.uint8]], Framed]


def frame_whole(pixels: NDArray[np.uint8]) -> Framed:
    """Frame the whole picture [H, W, 3] uint8 BGR, whatever it shows."""
    return Framed(pixels, None)


class WholeFramer:
    """Frames the whole picture, and says how large its largest face is.

    Args:
        detector: finds the faces.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector

    def __call__(self, pixels: NDArray[np.uint8]) -> Framed:
        """Frame `pixels` [H, W, 3] uint8 BGR."""
        faces = self._detector(pixels)
        return Framed(pixels, None, face_side=faces[0].frame().side if faces else None)


class FaceFramer:
    """Frames every face of a picture.

    Args:
        detector: finds them.
        size: side in px that the model will see.
        smallest: px across of the smallest frame that the model was made for.
    """

    def __init__(self, detector: FaceDetector, size: int, smallest: int) -> None:
        self.detector = detector
        self.size, self.smallest = size, smallest

    def boxes(self, pixels: NDArray[np.uint8]) -> list[Box]:
        """Return the frame of each face of `pixels` `[H, W, 3]` uint8 BGR, the largest first."""
        return self._frames(pixels, self.detector(pixels))

    def boxes_near(self, pixels: NDArray[np.uint8], box: Box) -> list[Box]:
        """Return the frames of the faces that are about where `box` was.

        Takes a look, and another for each head that lies. `pixels` is [H, W, 3] uint8 BGR, and
        `box` in its px.
        """
        return self._frames(pixels, self.detector.near(pixels, box))

    def _frames(self, pixels: NDArray[np.uint8], faces: Sequence[Face]) -> list[Box]:
        """Return the faces' frames; of those that will be analysed, turned as the heads are."""
        turned = [upright_frame(pixels, face, self.detector) for face in faces[:MOST_FACES]]
        return turned + [face.frame() for face in faces[MOST_FACES:]]

    def __call__(self, pixels: NDArray[np.uint8]) -> Framed:
        """Frame `pixels` [H, W, 3] uint8 BGR."""
        return self.frame(pixels, self.boxes(pixels), MOST_FACES)

    def frame(self, pixels: NDArray[np.uint8], boxes: Sequence[Box], most: int) -> Framed:
        """Return at most `most` faces of `boxes`, or the largest if all of them are too small.

        `pixels` is [H, W, 3] uint8 BGR, and `boxes` in its px, the largest first.
        """
        large = [box for box in boxes if box.side >= self.smallest]
        framed = frame_boxes(pixels, large or boxes[:1], self.size, most)
        left = len(boxes) - len(large) if large else 0
        if not left:
            return framed
        were = "face was" if left == 1 else "faces were"
        note = f"{left} more {were} found, too small to be analysed."
        faces = (replace(face, notes=(*face.notes, note)) for face in framed.faces)
        first, *others = faces
        return replace(first, others=tuple(others))


def make_framer(manifest: Manifest, infer: Infer) -> Framer:
    """Return what frames pictures for a bundle's model; `infer` runs its face detector."""
    validity = manifest.validity
    if manifest.framing == "picture":
        return WholeFramer(FaceDetector(infer)) if validity.needs_face else frame_whole
    size = manifest.preprocessing.size
    return FaceFramer(FaceDetector(infer), size, validity.smallest_face or 0)


def frame_boxes(pixels: NDArray[np.uint8], boxes: Sequence[Box], size: int, most: int) -> Framed:
    """Return the first `most` faces of `boxes`, the largest first.

    `pixels` is [H, W, 3] uint8 BGR, and `boxes` in its px. It is the whole picture where that is
    the first face, or where there is no box. `size` is the side in px that the model will see: a
    head smaller than that is turned and enlarged at once.
    """
    if not boxes:
        return Framed(pixels, None)
    if is_whole(boxes[0], pixels):
        return Framed(pixels, None, _notes(boxes[0], 1, most), face_side=boxes[0].side)
    first, *others = (
        Framed(cut_out(pixels, box, max(box.side, size)), box, _notes(box, len(boxes), most))
        for box in boxes[:most]
    )
    return replace(first, others=tuple(others), face_side=boxes[0].side)


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
    """Say whether a picture [H, W, 3] uint8 is, as it is, about what `box`, in px, shows."""
    height, width = pixels.shape[:2]
    across = max(0, min(box.x + box.side, width) - max(box.x, 0))
    down = max(0, min(box.y + box.side, height) - max(box.y, 0))
    shared = across * down / (box.side**2 + width * height - across * down)
    return not box.angle and shared >= _ALIGNED
