"""What becomes of untouched photographs of faces behind a mask, glasses, a patch, a hat or a strap.

    python -m benchmarks.occluded CROPS [BUNDLE]

CROPS is a face folder of `python -m ft_forge.photographs`; its validation people are taken. The
objects are drawn with the noise of their picture, which is then made smaller as a whole: they stand
for real ones, as far as flat ones can. Prints, object by object, how many pictures are called
manipulated, and how many get no answer for want of a face or of certainty.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from benchmarks.turned import outcome
from ft_forge import FaceSet
from ft_forge.occluders import KINDS, draw_occluder
from ftsdk import Analyzer

#: The size of a picture after the object is drawn.
SMALLER = 0.75


def main(crops: Path, bundle: str = "nano") -> None:
    """Print the counts of every kind of object, those of none first."""
    faces = FaceSet(crops)
    counts = {name: Counter[str]() for name in ("nothing", *KINDS)}
    with Analyzer(bundle, threads=1) as analyzer:
        for entry in faces.split()[1]:
            face = faces.load(entry)
            for name, count in counts.items():
                image = face.image
                if name in KINDS:
                    rng = np.random.default_rng(entry.row)
                    image = draw_occluder(face.geometry.points, rng, name).image(image)
                small = cv2.resize(
                    image, None, fx=SMALLER, fy=SMALLER, interpolation=cv2.INTER_AREA
                )
                count[outcome(analyzer, np.asarray(small, np.uint8))] += 1
    for name, count in counts.items():
        print(f"{name}, {count.total()} pictures: {dict(count.most_common())}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *sys.argv[2:3])
