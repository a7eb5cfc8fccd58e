"""What becomes of untouched photographs that lie on their side or upside down, or are mirrored.

    python -m benchmarks.turned untouched.json [BUNDLE]

The records are those that `python -m ft_eval.photographs` writes. Prints, turn by turn, how many
pictures are called manipulated, and how many get no answer for want of a face or of certainty.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ft_forge.mmtt import MmttData
from ftsdk import Analyzer

Pixels = NDArray[np.uint8]
TURNS: dict[str, Callable[[Pixels], Pixels]] = {
    "as it is": lambda pixels: pixels,
    "mirrored": lambda pixels: pixels[:, ::-1],
    "a quarter to the left": np.rot90,
    "a quarter to the right": lambda pixels: np.rot90(pixels, 3),
    "upside down": lambda pixels: np.rot90(pixels, 2),
}


def outcome(analyzer: Analyzer, pixels: Pixels) -> str:
    """Return what nano says of a picture [H, W, 3] uint8 BGR, in a word or two."""
    result = analyzer.analyze(np.ascontiguousarray(pixels), report=False)
    if result.cannot_tell is not None:
        return result.cannot_tell.reason.value
    return "manipulated" if result.suspected else "nothing found"


def main(records: Path, bundle: str = "nano") -> None:
    """Print the counts of every turn."""
    data, counts = MmttData(records), {name: Counter[str]() for name in TURNS}
    with Analyzer(bundle, threads=1) as analyzer:
        for record in data.records:
            pixels = data.picture(record).pixels
            for name, turn in TURNS.items():
                counts[name][outcome(analyzer, turn(pixels))] += 1
    for name, count in counts.items():
        print(f"{name}, {count.total()} pictures: {dict(count.most_common())}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *sys.argv[2:3])
