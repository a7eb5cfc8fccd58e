"""What becomes of pictures, untouched and forged, in whole videos: many frames are many chances.

    python -m benchmarks.videos RECORDS [BUNDLE]

RECORDS is what `python -m ft_eval.photographs` or `ft-forge` writes. Each picture, of at most 1280
px, is moved, turned and enlarged a little, to and fro, for 40 frames, which x264 saves as it does
by default. Prints how many pictures, how many frames, in how many videos at least one frame, and in
how many most frames are called manipulated.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.filmed import FACTORS, fitting
from benchmarks.turned import outcome
from ft_forge.filming import RATE, save
from ft_forge.mmtt import MmttData
from ftsdk import Analyzer, FrameMasked
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.summary import VideoSummary
from ftsdk.streaming.watching import watch_with

Pixels = NDArray[np.uint8]
FRAMES = 40
#: How far the picture goes: of its long side, in degrees, and of its size.
_MOVE, _TURN, _ZOOM = 0.02, 2.0, 0.04
#: Swings a second, of moving right and down, turning and enlarging.
_SWINGS = (0.27, 0.18, 0.11, 0.14)


def moving(image: Pixels, rng: np.random.Generator) -> Iterator[Pixels]:
    """Yield the frames of `image` [H, W, 3] uint8 BGR, each swing begun anywhere."""
    height, width = image.shape[:2]
    begun = rng.uniform(0, 2 * math.pi, len(_SWINGS))
    for number in range(FRAMES):
        at = np.sin(2 * math.pi * np.array(_SWINGS) * number / RATE + begun)
        middle, scale = (width / 2, height / 2), 1 + _ZOOM * at[3]
        matrix: Any = cv2.getRotationMatrix2D(middle, _TURN * at[2], scale)
        matrix[:, 2] += _MOVE * max(height, width) * at[:2]
        moved = cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        yield np.asarray(moved, np.uint8)


def summary_of(analyzer: Analyzer, path: Path) -> VideoSummary:
    """Return what `ft-analyze` says of a video."""
    summary = VideoSummary()
    for answer in watch_with(analyzer, path, WatchOptions(report="never")):
        assert isinstance(answer, FrameMasked)
        summary.add(answer)
    return summary


def main(records: Path, bundle: str = "nano") -> None:
    """Print the counts of untouched and of forged pictures."""
    data, counts = MmttData(records), {kind: Counter[str]() for kind in ("untouched", "forged")}
    with Analyzer(bundle, threads=1) as analyzer, TemporaryDirectory() as folder:
        for number, record in enumerate(data.records):
            pixels, path = data.picture(record).pixels, Path(folder) / "video.mp4"
            save(moving(fitting(pixels), np.random.default_rng(number)), path, FACTORS[0])
            summary = summary_of(analyzer, path)
            count = counts["untouched" if data.mask(record) is None else "forged"]
            count["videos"] += 1
            count["as pictures"] += outcome(analyzer, pixels) == "manipulated"
            count["frames"] += summary.marked
            count["any frame"] += summary.marked > 0
            count["most frames"] += summary.suspected is True
    for kind, count in counts.items():
        if count:
            print(f"{kind}: {dict(count)}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *sys.argv[2:3])
