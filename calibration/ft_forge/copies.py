"""One photograph under two names: if training has one of them, validation must not have the other.

People appear on several sites, or twice on one, under a name, a part of it, or a number.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from ft_forge.faces import Entry, FaceSet
from ft_forge.framing import face_box
from ft_forge.picture import Image
from ftsdk.imaging.framing import cut_out

#: Side in px at which faces are compared.
_SIDE = 48
#: From this correlation on two faces are one photograph, whatever size and quality it was saved at:
#: copies of 1,385 photographs and 2,593 portraits reach 0.97, other photographs 0.88.
_SAME = 0.93


def look(image: Image, points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the face with landmarks `points` [478, 2] in `image` [H, W, 3] uint8, to be compared.

    Grey, small, of mean 0 and length 1: [2304]; two of them correlate by their dot product.
    """
    seen = cv2.cvtColor(cut_out(image, face_box(points)), cv2.COLOR_BGR2GRAY).astype(np.float32)
    small = cv2.resize(seen, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).reshape(-1)
    centred = small - small.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1.0), np.float32)


def _looks(faces: FaceSet, entries: Iterable[Entry]) -> NDArray[np.float32]:
    looks = [look(faces.load(entry).image, faces.points[entry.row]) for entry in entries]
    return np.array(looks, np.float32).reshape(-1, _SIDE * _SIDE)


def known_to_training(faces: FaceSet, beside: Iterable[FaceSet] = ()) -> set[str]:
    """Return the validation people of `faces` of whom training has one of the same photographs.

    Training is that half of `faces`, and of the folders `beside` it.
    """
    training, validation = faces.split()
    halves = [(faces, training), *((other, other.split()[0]) for other in beside)]
    seen = np.concatenate([_looks(*half) for half in halves])
    alike = (_looks(faces, validation) @ seen.T >= _SAME).any(1)
    return {entry.identity for entry, copy in zip(validation, alike, strict=True) if copy}
