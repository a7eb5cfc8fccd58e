"""Forges photographs by scikit-image, SciPy and Pillow, for `ft-eval` to judge nano by.

    python -m benchmarks.independent PHOTOS RECORDS OUT [SEED]

PHOTOS holds `index.json` and `landmarks.npz`, RECORDS is what `python -m ft_eval.photographs PHOTOS
RECORDS --kind face --faces CROPS` writes. Each of its photographs with one face of 120 px or more,
in colours, is forged in two of seven ways, at its own size. Three of four pictures are then made
smaller, to half their size at the least, and all are saved as JPEG of quality 60 to 95; the
untouched photographs too. OUT becomes a data set with the folders `forged/WAY`, `untouched/` and
`masks/WAY`, of which `own_size.json` names the pictures that were not made smaller:

    ft-eval --data OUT --no-report
    ft-eval --data OUT/own_size.json --no-report

Nothing of `ft_forge` makes a pixel of it; its names of landmarks alone are used.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from benchmarks.independent.areas import Mask
from benchmarks.independent.edits import EDITS, Photograph, as_bytes

#: Forgeries of a photograph, and the seed where none is given.
_EACH, _SEED = 2, 5
#: A fainter mean change (of 1), or a smaller share of the picture, is no forgery.
_FAINT, _SMALL = 2 / 255, 0.0008
_FILTERS = (
    Pillow.Resampling.BILINEAR,
    Pillow.Resampling.BICUBIC,
    Pillow.Resampling.LANCZOS,
)


class Photographs:
    """The photographs of a record file that have one face of 120 px, in colours.

    Args:
        folder: with `index.json` and `landmarks.npz`.
        records: what `ft_eval.photographs` wrote.
    """

    def __init__(self, folder: Path, records: Path) -> None:
        self._folder = folder
        self._index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        held = {one["image_id"] for one in json.loads(records.read_text(encoding="utf-8"))}
        marks = np.load(folder / "landmarks.npz")
        self._points = marks["points"].astype(np.float64)
        self._of = marks["file_index"]
        self.rows = [row for row in range(len(self._of)) if self._fits(row, held)]

    def _entry(self, row: int) -> dict[str, object]:
        entry: dict[str, object] = self._index[self._of[row]]
        return entry

    def _fits(self, row: int, held: set[str]) -> bool:
        entry = self._entry(row)
        alone = entry["kind"] == "face" and entry["faces"] == 1 and not entry["grey"]
        return alone and entry["file"] in held

    def load(self, row: int) -> Photograph:
        """Read the photograph of a row of the landmarks."""
        with Pillow.open(self._folder / str(self._entry(row)["file"])) as opened:
            pixels = np.asarray(opened.convert("RGB"), np.float64)
        return Photograph(pixels / 255, self._points[row])

    def other(self, row: int, rng: np.random.Generator) -> Photograph:
        """Read the photograph of another person than that of `row`."""
        person = self._entry(row)["person"]
        strangers = [one for one in self.rows if self._entry(one)["person"] != person]
        return self.load(int(rng.choice(strangers)))


class History:
    """What happens to a forgery and to the untouched photograph alike."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._factor = float(rng.uniform(0.5, 1.0)) if rng.random() < 0.75 else 1.0
        self._filter = _FILTERS[int(rng.integers(len(_FILTERS)))]
        self._quality = int(rng.integers(60, 96))
        self._subsampling = int(rng.choice([0, 2]))

    @property
    def own_size(self) -> bool:
        """Whether the picture is as large as it was."""
        return self._factor == 1.0

    def smaller(self, picture: Pillow.Image, by: Pillow.Resampling | None = None) -> Pillow.Image:
        """Return `picture` at the size it will have."""
        size = [max(64, round(self._factor * side)) for side in picture.size]
        return picture.resize((size[0], size[1]), by or self._filter)

    def save(self, picture: Pillow.Image, path: Path) -> None:
        """Write `picture` as it reaches a user."""
        path.parent.mkdir(parents=True, exist_ok=True)
        small = self.smaller(picture)
        small.save(path, quality=self._quality, subsampling=self._subsampling)


def _forged(
    photographs: Photographs, row: int, number: int, rng: np.random.Generator
) -> tuple[Pillow.Image, Mask, str] | None:
    """Return a forgery, where it is, and its way; None where nothing to speak of changed."""
    face, edit = photographs.load(row), EDITS[number % len(EDITS)]
    made = edit(face, photographs.other(row, rng), rng)
    if made is None:
        return None
    image, area = made
    if area.mean() < _SMALL or np.abs(image - face.image)[area].mean() < _FAINT:
        return None
    return as_bytes(image), area, edit.__name__


def _record(path: Path, mask: Path | None, way: str, history: History) -> dict[str, object]:
    """Return the line of a data set for a picture below it."""
    name = f"{way}-{path.stem}"
    where = mask.as_posix() if mask else None
    return {
        "image_id": name, "instance_id": name, "img_path": path.as_posix(), "mask_path": where,
        "attribute": way, "own_size": history.own_size,
    }  # fmt: skip


def main(photos: Path, records: Path, out: Path, seed: int) -> None:
    """Write the data set, and print how many forgeries of each way there are."""
    photographs, made_of = Photographs(photos, records), list[dict[str, object]]()
    for place, row in enumerate(photographs.rows):
        for number in range(_EACH * place, _EACH * (place + 1)):
            rng = np.random.default_rng([seed, number])
            history, name = History(rng), f"{number:04d}"
            if number % _EACH == 0:
                untouched = Path("untouched", f"{name}.jpg")
                history.save(as_bytes(photographs.load(row).image), out / untouched)
                made_of.append(_record(untouched, None, "untouched", history))
            made = _forged(photographs, row, number, rng)
            if made is None:
                continue
            picture, area, way = made
            path, where = Path("forged", way, f"{name}.jpg"), Path("masks", way, f"{name}.png")
            history.save(picture, out / path)
            mask = history.smaller(Pillow.fromarray(area), Pillow.Resampling.NEAREST)
            (out / where).parent.mkdir(parents=True, exist_ok=True)
            mask.save(out / where)
            made_of.append(_record(path, where, way, history))
    own_size = [record for record in made_of if record["own_size"]]
    for name, lines in (("annotations", made_of), ("own_size", own_size)):
        text = json.dumps(lines, indent=1) + "\n"
        (out / f"{name}.json").write_text(text, encoding="utf-8")
    counts = Counter(str(one["attribute"]) for one in made_of)
    print(f"{len(photographs.rows)} photographs, pictures: {dict(counts)}")


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    photos, records, out = map(Path, sys.argv[1:4])
    main(photos, records, out, int(sys.argv[4]) if sys.argv[4:] else _SEED)
