"""The faces that forgeries are made from: pictures, landmarks, identities."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ft_forge.degrade import earlier_save
from ft_forge.geometry import Geometry
from ft_forge.picture import Image
from ft_forge.regenerated import Regenerated
from ftsdk.errors import ImageFormatError, ImageNotFoundError


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
    """One line of a face folder's index."""

    row: int
    file: str
    identity: str
    attribute: str
    level: int
    source: str = ""
    split: str = ""
    faceless: bool = False


@dataclass
class FaceSet:
    """A folder of faces: `index.json`, `landmarks.npz` and the pictures.

    Pictures need not be of one size. An index may name each picture's `source`, and its `split`,
    "train" or "validation", and say that it is `faceless`. Raises ImageNotFoundError when the
    folder lacks its index.
    """

    root: Path
    entries: list[Entry] = field(init=False)
    regenerated: Regenerated = field(init=False)

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        if not (self.root / "index.json").is_file():
            raise ImageNotFoundError(
                "The face folder has no index.json",
                expected="index.json, landmarks.npz and pictures",
                found=str(self.root),
                cure="point --faces at a folder in that layout",
            )
        index = json.loads((self.root / "index.json").read_text())
        self.entries = [
            Entry(
                row,
                item["file"],
                item["identity"],
                item["attribute"],
                int(item["level"]),
                item.get("source", ""),
                item.get("split", ""),
                item.get("faceless", False),
            )
            for row, item in enumerate(index)
        ]
        self.regenerated = Regenerated(self.root)
        self.points = np.load(self.root / "landmarks.npz")["points"].astype(np.float32)

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
