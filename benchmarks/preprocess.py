"""Times ftsdk's squash against OpenCV's area resize with numpy's normalisation.

Run `python -m benchmarks.preprocess`. Both sides are timed in turns in one process, and the
best of many repetitions counts, so that a busy machine disturbs both alike. Needs ftsdk only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ftsdk._native import avx2_available, resize_normalise
from ftsdk.imaging.mask import cut, heatmap
from ftsdk.imaging.preprocess import Preprocessing

PREPROCESSING = Preprocessing(
    size=224,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
SIZES = ((512, 512), (1080, 1920), (3000, 4000))
Step = Callable[[], object]


def area_and_normalise(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn a picture [H, W, 3] uint8 BGR into pixel values [1, 3, 224, 224] float32 with OpenCV."""
    side = PREPROCESSING.size
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    scaled = small[:, :, ::-1].astype(np.float32) / 255
    mean, std = (np.array(value, np.float32) for value in (PREPROCESSING.mean, PREPROCESSING.std))
    normalised = np.asarray((scaled - mean) / std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))[None]


def portable(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Do the same as ftsdk does it on processors without AVX2."""
    settings = PREPROCESSING
    return resize_normalise(
        picture,
        size=settings.size,
        mean=settings.mean,
        std=settings.std,
        reversed=True,
        portable=True,
    )


def best_milliseconds(steps: list[Step], repetitions: int) -> list[float]:
    """Return the shortest time of each step; the steps take turns."""
    best = [float("inf")] * len(steps)
    for _ in range(repetitions):
        for i, step in enumerate(steps):
            start = time.perf_counter()
            step()
            best[i] = min(best[i], 1e3 * (time.perf_counter() - start))
    return best


def main() -> None:
    """Print milliseconds and their ratio to OpenCV's for each size."""
    random = np.random.default_rng(0)
    table = Table("work", "height x width", "ftsdk ms", "portable ms", "OpenCV ms", "ratio")
    for height, width in SIZES:
        picture = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        ours, plain, theirs = best_milliseconds(
            [
                partial(PREPROCESSING.pixel_values, picture),
                partial(portable, picture),
                partial(area_and_normalise, picture),
            ],
            repetitions=30,
        )
        _add(table, "squash, normalise", (height, width), ours, plain, theirs)
    probabilities = random.random((224, 224), dtype=np.float32)
    for height, width in SIZES:
        target = height, width
        ours, cutting, theirs = best_milliseconds(
            [
                partial(heatmap, probabilities, *target),
                partial(cut, probabilities, *target),
                partial(cv2.resize, probabilities, target[::-1]),
            ],
            repetitions=30,
        )
        _add(table, "heat map", target, ours, None, theirs)
        _add(table, "cut mask", target, cutting, None, theirs)
    Console(width=100).print(f"AVX2: {avx2_available()}, OpenCV threads: {cv2.getNumThreads()}")
    Console(width=100).print(table)


def _add(
    table: Table, work: str, size: tuple[int, int], ours: float, plain: float | None, theirs: float
) -> None:
    portable_text = "" if plain is None else f"{plain:.2f}"
    table.add_row(
        work,
        f"{size[0]} x {size[1]}",
        f"{ours:.2f}",
        portable_text,
        f"{theirs:.2f}",
        f"{ours / theirs:.2f}",
    )


if __name__ == "__main__":
    main()
