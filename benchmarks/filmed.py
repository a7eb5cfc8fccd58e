"""What becomes of pictures, untouched and forged, that were frames of a video.

    python -m benchmarks.filmed RECORDS [BUNDLE]

RECORDS is what `python -m ft_eval.photographs` or `ft-forge` writes. Each picture, of at most 1280
px, moves a little for nine frames, x264 saves them at a constant rate factor, and the eighth is
analysed, which is predicted from the ones before it. Prints, factor by factor, how many of the
untouched and of the forged pictures are called manipulated, and how many get no answer and why.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.turned import outcome
from ft_forge.filming import frame_of
from ft_forge.mmtt import MmttData
from ftsdk import Analyzer

Pixels = NDArray[np.uint8]
#: x264's constant rate factors: its default, and what is saved small and smaller.
FACTORS = (23, 30, 36)
FRAMES, TAKEN = 9, 7
_MOST_PX = 1280
#: How far a frame moves from the last, right and down, in px.
_MOVE = (0.7, 0.4)


def _moving(image: Pixels) -> Iterator[Pixels]:
    """Yield the frames: `image` [H, W, 3] uint8 BGR, of even sides, and moved further each time."""
    height, width = image.shape[:2]
    for number in range(FRAMES):
        x, y = (number * step for step in _MOVE)
        moved = cv2.warpAffine(
            image, np.array([[1, 0, x], [0, 1, y]]), (width, height),
            flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        yield np.asarray(moved, np.uint8)


def fitting(image: Pixels) -> Pixels:
    """Return `image` [H, W, 3] uint8 BGR with at most 1280 px a side, and even sides."""
    scale = _MOST_PX / max(image.shape[:2])
    if scale < 1:
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = np.asarray(small, np.uint8)
    height, width = (side // 2 * 2 for side in image.shape[:2])
    return image[:height, :width]


def filmed(image: Pixels, factor: int) -> Pixels:
    """Return `image` [H, W, 3] uint8 BGR as the frame of an H.264 video at that rate factor."""
    return np.asarray(frame_of(_moving(fitting(image)), TAKEN, factor), np.uint8)


def main(records: Path, bundle: str = "nano") -> None:
    """Print the counts of the pictures as they are, then as frames at each factor."""
    data = MmttData(records)
    forms = {"as they are": None, **{f"rate factor {factor}": factor for factor in FACTORS}}
    counts = {(form, kind): Counter[str]() for form in forms for kind in ("untouched", "forged")}
    with Analyzer(bundle, threads=1) as analyzer:
        for record in data.records:
            pixels = data.picture(record).pixels
            kind = "untouched" if data.mask(record) is None else "forged"
            for form, factor in forms.items():
                seen = pixels if factor is None else filmed(pixels, factor)
                counts[form, kind][outcome(analyzer, seen)] += 1
    for (form, kind), count in counts.items():
        if count:
            print(f"{form}, {count.total()} {kind}: {dict(count.most_common())}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *sys.argv[2:3])
