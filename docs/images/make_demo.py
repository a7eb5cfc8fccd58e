"""Makes the README's picture: portrait and forgery, each beside what nano marks in it.

Run `python docs/images/make_demo.py` with ftsdk installed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

import ftsdk

FOLDER = Path(__file__).parents[2] / "examples" / "pictures"
TARGET = Path(__file__).parent / "demo.png"
GAP = 12


def main() -> None:
    """Write the four panels as one PNG."""
    results = [ftsdk.analyze(FOLDER / f"{name}.jpg") for name in ("portrait", "portrait_forged")]
    panels = [panel for result in results for panel in (result.picture.pixels, result.plot())]
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    row = np.hstack([part for panel in panels for part in (panel, gap)][:-1])
    cv2.imwrite(str(TARGET), cv2.resize(row, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))
    for result in results:
        print(result.picture.name, "-", result.finding, result.report)


if __name__ == "__main__":
    main()
