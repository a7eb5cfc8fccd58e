"""The faces that forgeries are made from: pictures, landmarks, identities."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ft_forge.degrade import earlier_save
from ft_forge.geometry import Geometry
from ft_forge.picture import Image
from ft_forge.regenerated import Regenerated
from ftsdk.errors import DataNotFoundError, ImageFormatError, RecordError
from ftsdk.text import problems

INDEX, _LANDMARKS = "index.json", "landmarks.npz"
#: Points of MediaPipe's face mesh with irises.
_MESH_POINTS = 478


@dataclass(frozen=True)
class Face:
    """One face picture with its landmarks.

    `image` is `[H, W, 3]` uint8 BGR, `geometry` its landmarks; `attribute` and `level` name the
    step of a GAN attribute edit and are empty and 0 for a plain face. `save_seed` is that of
    the earlier save that the picture went through, 0 for none, `source` who made the picture.
    `faceless` pictures show no face: their landmarks are somebody else's, and say where to forge.
    """

    image: Image
    geometry: Geometry
    identity: str
    file: str = ""
    attribute: str = ""
    level: int = 0
    save_seed: int = 0
    source: str = ""
    faceless: bool = False


@dataclass(frozen=True)
class Entry:
    """One line of a face folder's index; `photograph` is the file that the picture was cut from."""

    row: int
    file: str
    identity: str
    attribute: str
    level: int
    source: str = ""
    split: Literal["", "train", "validation"] = ""
    faceless: bool = False
    photograph: str = ""


@dataclass
class FaceSet:
    """A folder of faces: `index.json`, `landmarks.npz` and the pictures.

    Pictures need not be of one size. An index may name each picture's `source`, and its `split`,
    "train" or "validation", and say that it is `faceless`. Raises DataNotFoundError where the index
    or the landmarks are missing, and RecordError where they are not as they should be.
    """

    root: Path
    entries: list[Entry] = field(init=False)
    regenerated: Regenerated = field(init=False)

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        for name in (INDEX, _LANDMARKS):
            if not (self.root / name).is_file():
                raise DataNotFoundError(
                    f"The face folder has no {name}",
                    expected=f"{INDEX}, {_LANDMARKS} and pictures",
                    found=str(self.root),
                    cure="name a folder in that layout; python -m ft_forge.photographs writes one",
                )
        self.entries = _read_index(self.root / INDEX)
        self.regenerated = Regenerated(self.root)
        self.points = _read_points(self.root / _LANDMARKS, len(self.entries))

    def load(self, entry: Entry, save_seed: int = 0) -> Face:
        """Read one picture, saved once more with seed `save_seed` unless that is 0.

        Raises ImageFormatError when it cannot be decoded.
        """
        image = cv2.imread(str(self.root / entry.file), cv2.IMREAD_COLOR)
        if image is None:
            raise ImageFormatError(
                "A face picture cannot be decoded",
                expected="a JPEG or PNG picture",
                found=str(self.root / entry.file),
                cure="copy the face folder again",
            )
        geometry = Geometry(self.points[entry.row], image.shape[:2])
        if save_seed:
            image = earlier_save(image, save_seed)
        return Face(
            image, geometry, entry.identity, entry.file, entry.attribute, entry.level, save_seed,
            entry.source, entry.faceless,
        )  # fmt: skip

    def split(self, validation_share: float = 0.1) -> tuple[list[Entry], list[Entry]]:
        """Return training and validation entries; no identity is in both.

        Where the index names no split it hashes the identity, so that it stays the same when faces
        are added.
        """

        def held(entry: Entry) -> bool:
            if entry.split:
                return entry.split == "validation"
            draw = zlib.crc32(f"split {entry.identity}".encode()) % 1000
            return draw < 1000 * validation_share

        held_out = {entry.identity for entry in self.entries if held(entry)}
        train = [entry for entry in self.entries if entry.identity not in held_out]
        return train, [entry for entry in self.entries if entry.identity in held_out]


_ENTRIES = TypeAdapter(list[Entry])


def _read_index(path: Path) -> list[Entry]:
    """Return what an index lists, in its order.

    Raises:
        RecordError: it is no list of pictures, or an empty one.
    """
    try:
        items = [{**item, "row": row} for row, item in enumerate(json.loads(path.read_bytes()))]
        entries = _ENTRIES.validate_python(items)
        found = "" if entries else "an empty list"
    except (OSError, TypeError, ValueError) as error:
        found = problems(error) if isinstance(error, ValidationError) else str(error)
    if found:
        raise RecordError(
            f"{path} is no index of faces",
            expected="a list of file, identity, attribute and level, and source, split (train or "
            "validation) and faceless where they are known",
            found=found[:400],
            cure="write the face folder anew",
        )
    return entries


def _read_points(path: Path, count: int) -> NDArray[np.float32]:
    """Return the landmarks of `count` pictures [count, 478, 2], in px.

    Raises:
        RecordError: they are something else.
    """
    try:
        with np.load(path) as arrays:
            points = np.asarray(arrays["points"], np.float32)
        found = "" if np.isfinite(points).all() else "numbers that are not finite"
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        points, found = np.empty(0, np.float32), str(error)
    expected = (count, _MESH_POINTS, 2)
    if found or points.shape != expected:
        raise RecordError(
            f"{path} does not hold the landmarks of the index",
            expected=f"an array called points, {list(expected)}",
            found=found or f"{list(points.shape)}",
            cure="write the face folder anew",
        )
    return points
