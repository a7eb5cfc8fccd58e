"""Photographs of faces as a face folder: crops at their own resolution, with their landmarks.

`python -m ft_forge.photographs OUT PHOTOS [PHOTOS ...] [--grey-of N] [--beside FACES]`. Each PHOTOS
holds `index.json`, a list of `file`, `person` (or null), `source` and `split`, and `landmarks.npz`
with `file_index` into it and `points` [N, 478, 2] of MediaPipe's face mesh in px
(`training/find_landmarks.py` writes both). OUT becomes a folder that :class:`FaceSet` reads.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from ft_forge.copies import known_to_training
from ft_forge.faces import INDEX, FaceSet
from ft_forge.framing import face_box
from ft_forge.picture import Image
from ftsdk.errors import ImageFormatError

#: A crop [H, W, 3] uint8 with its points [478, 2] and the facts of its entry in the index.
Crop = tuple[Image, NDArray[np.float32], dict[str, Any]]

#: A crop reaches this far around the square that the model sees, so that it may be moved in it.
MARGIN = 1.3
#: Larger crops are made smaller, as pictures for the web are.
MOST_PX = 704
#: What a crop's corner is a multiple of: an untouched file's block grid stays where it was.
_BLOCK = 16
#: Mean difference of a grey picture's channels from their mean, at most, of 255: JPEG leaves some.
_GREY = 2.5


def crop_face(
    image: Image, points: NDArray[np.floating], margin: float = MARGIN, most: int = MOST_PX
) -> tuple[Image, NDArray[np.float32]]:
    """Return a crop around the face with landmarks `points` [478, 2], and the points in it.

    `image` [H, W, 3] uint8 BGR. The crop ends where the picture ends.
    """
    box = face_box(points)
    middle, reach = np.array(box.middle), margin * box.side / 2
    low = np.maximum((middle - reach) // _BLOCK * _BLOCK, 0).astype(int)
    high = np.minimum(middle + reach, image.shape[1::-1]).astype(int)
    crop = image[low[1] : high[1], low[0] : high[0]]
    moved = (points - low).astype(np.float32)
    scale = most / max(crop.shape[:2])
    if scale < 1:
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        moved *= np.float32(scale)
    return np.ascontiguousarray(crop), moved


def _faces(photos: Path) -> Iterator[tuple[dict[str, Any], NDArray[np.float32]]]:
    index = json.loads((photos / "index.json").read_text(encoding="utf-8"))
    marks = np.load(photos / "landmarks.npz", allow_pickle=False)
    for row, points in zip(marks["file_index"], marks["points"], strict=True):
        yield index[int(row)], points.astype(np.float32)


def is_grey(image: Image) -> bool:
    """Return whether a picture [H, W, 3] uint8 has no colours."""
    values = image.astype(np.float32)
    return bool(np.abs(values - values.mean(2, keepdims=True)).mean() < _GREY)


def write_face_folder(out: Path, crops: Iterable[Callable[[], Crop | None]]) -> int:
    """Write the crops that `crops` return, each in one of several threads; returns how many.

    None leaves one out. The facts are `identity`, `source` and `split`, and `faceless` where there
    is no face.
    """
    (out / "faces").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as threads:
        written = [one for one in threads.map(partial(_write, out), crops, count()) if one]
    _write_index(out, [entry for entry, _ in written])
    points = np.array([points for _, points in written], np.float32)
    np.savez(out / "landmarks.npz", points=points)
    return len(written)


def _write_index(out: Path, entries: list[dict[str, Any]]) -> None:
    (out / INDEX).write_text(json.dumps(entries, indent=0) + "\n", encoding="utf-8")


def _write(
    out: Path, crop: Callable[[], Crop | None], number: int
) -> tuple[dict[str, Any], NDArray[np.float32]] | None:
    """Write one crop and return its entry and its points, or None where it is left out."""
    made = crop()
    if made is None:
        return None
    image, points, facts = made
    name = f"faces/{number:05d}.png"
    if not cv2.imwrite(str(out / name), image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise ImageFormatError(
            "A crop cannot be written", expected="a writable folder", found=str(out / name),
            cure="check the folder and the space on its disk",
        )  # fmt: skip
    return {"file": name, "attribute": "", "level": 0, **facts}, points


def read_picture(path: Path) -> Image | None:
    """Return a picture [H, W, 3] uint8, or None and say on standard error that it is left out."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        print(f"cannot be read, left out: {path}", file=sys.stderr)
    return image


def _crop(
    photos: Path, facts: dict[str, Any], points: NDArray[np.float32], grey_of: int
) -> Crop | None:
    image = read_picture(photos / facts["file"])
    if image is None or (zlib.crc32(facts["file"].encode()) % grey_of and is_grey(image)):
        return None
    source = facts["source"]
    person = facts["person"] or facts["file"]  # of a stranger no other picture is known
    entry = {
        "identity": f"{source}/{person}", "source": source, "split": facts["split"],
        "photograph": facts["file"],
    }  # fmt: skip
    return *crop_face(image, points), entry


def write_crops(
    out: Path, sources: list[Path], grey_of: int = 1, beside: Sequence[Path] = ()
) -> int:
    """Write the crops of every face of `sources` with `index.json` and `landmarks.npz`.

    Of grey pictures one in `grey_of` is kept, chosen by its name in the index. A file that cannot
    be read is named on standard error and left out. Named are also people who are moved to the
    training half, since that has a photograph of theirs under another name: here, or in one of the
    face folders `beside`. Returns the number of faces.
    """
    others = [FaceSet(one) for one in beside]
    number = write_face_folder(
        out,
        (
            partial(_crop, photos, facts, points, grey_of)
            for photos in sources
            for facts, points in _faces(photos)
        ),
    )
    _give_to_training(out, known_to_training(FaceSet(out), others))
    return number


def _give_to_training(out: Path, people: set[str]) -> None:
    """Move people of the face folder `out` from its validation to its training half."""
    index = json.loads((out / INDEX).read_text(encoding="utf-8"))
    for entry in index:
        if entry["identity"] in people:
            entry["split"] = "train"
    _write_index(out, index)
    for person in sorted(people):
        print(f"training has a photograph of theirs, moved there: {person}", file=sys.stderr)


def main(
    out: Annotated[Path, typer.Argument(help="The face folder to write.")],
    photos: Annotated[list[Path], typer.Argument(help="Folders with index and landmarks.")],
    grey_of: Annotated[int, typer.Option(min=1, help="Keep one of N grey pictures.")] = 1,
    beside: Annotated[
        list[Path] | None, typer.Option(help="A face folder that is trained on too.")
    ] = None,
) -> None:
    """Write a face folder, for example: CROPS PHOTOS PORTRAITS --grey-of 3"""
    print(write_crops(out, photos, grey_of, beside or ()), "faces")


if __name__ == "__main__":
    typer.run(main)
