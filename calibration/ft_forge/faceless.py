"""Pictures without a face as a face folder: crops under the landmarks of somebody's face.

`python -m ft_forge.faceless OUT CROPS PHOTOS [PHOTOS ...]`. What is forged in them has the place,
the size and the traces of a forged face and shows none: a model that knows faces by heart gains
nothing by it. CROPS is a face folder, whose landmarks are laid on the pictures. Each PHOTOS is a
folder with `index.json`, of which the pictures of kind "scene" and split "train" are taken, or one
of pictures alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ft_forge.faces import FaceSet
from ft_forge.framing import face_box
from ft_forge.photographs import Crop, crop_face, read_picture, write_face_folder
from ft_forge.picture import Image

#: A smaller picture is left out, and how large the square that the model sees is, in px.
_LEAST, _SQUARE = 160, (150.0, 480.0)
_SUFFIXES = (".jpg", ".jpeg", ".png")


def _pictures(photos: Path) -> Iterator[tuple[Path, str]]:
    """Yield the pictures of a folder without a face, and their source."""
    index = photos / "index.json"
    if index.is_file():
        for facts in json.loads(index.read_text(encoding="utf-8")):
            if facts["kind"] == "scene" and facts["split"] == "train":
                yield photos / facts["file"], facts["source"]
    else:
        files = (one for one in photos.rglob("*") if one.suffix.lower() in _SUFFIXES)
        yield from ((one, photos.name) for one in sorted(files))


def laid_on(
    points: NDArray[np.floating], image: Image, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a face's landmarks [478, 2] moved to a place and size drawn in `image` [H, W, 3]."""
    box, size = face_box(points), np.array(image.shape[1::-1], np.float64)
    most = min(float(size.min()), _SQUARE[1])
    side = rng.uniform(min(_SQUARE[0], 0.8 * most), most)
    reach = 0.4 * side
    middle = rng.uniform(np.minimum(reach, size / 2), np.maximum(size - reach, size / 2))
    moved = (points - np.array(box.middle)) * (side / box.side) + middle
    return moved.astype(np.float32)


def _crop(faces: FaceSet, path: Path, source: str, number: int) -> Crop | None:
    image = read_picture(path)
    if image is None or min(image.shape[:2]) < _LEAST:
        return None
    rng = np.random.default_rng([0, number])
    points = faces.points[int(rng.integers(len(faces.points)))]
    facts = {
        "identity": f"{source}/{path.name}", "source": source, "split": "train", "faceless": True,
    }  # fmt: skip
    return *crop_face(image, laid_on(points, image, rng)), facts


def write_faceless(out: Path, crops: Path, photos: list[Path]) -> int:
    """Write the face folder `out` from `photos` and the landmarks of `crops`.

    A file that cannot be read is named on standard error and left out. Returns how many pictures.
    """
    faces = FaceSet(crops)
    pictures = (one for folder in photos for one in _pictures(folder))
    return write_face_folder(
        out,
        (
            partial(_crop, faces, path, source, number)
            for number, (path, source) in enumerate(pictures)
        ),
    )


def main(
    out: Annotated[Path, typer.Argument(help="The face folder to write.")],
    crops: Annotated[Path, typer.Argument(help="A face folder, for its landmarks.")],
    photos: Annotated[list[Path], typer.Argument(help="Folders of pictures.")],
) -> None:
    """Write a face folder of pictures without a face, for example: FACELESS CROPS PHOTOS"""
    print(write_faceless(out, crops, photos), "pictures")


if __name__ == "__main__":
    typer.run(main)
