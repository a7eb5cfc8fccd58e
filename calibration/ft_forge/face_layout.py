"""Where each part of a face lies in FFHQ framing: the mean of many people's landmarks.

`python -m ft_forge.face_layout FACES OUT.json` reads a folder with `index.json`
and `landmarks.npz`, and writes convex outlines in units of the picture's side.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from ft_forge.geometry import PARTS


def mean_layout(faces: Path) -> dict[str, list[list[float]]]:
    """Return each part's convex outline as [x, y] points, 0 to 1."""
    index = json.loads((faces / "index.json").read_text(encoding="utf-8"))
    points = np.load(faces / "landmarks.npz", allow_pickle=False)["points"].astype(np.float64)
    people = [number for number, entry in enumerate(index) if entry["kind"] == "base"]
    picture = cv2.imread(str(faces / index[0]["file"]))
    assert picture is not None
    side = picture.shape[0]
    mean = (points[people].mean(axis=0) / side).astype(np.float32)
    return {
        name: cv2.convexHull(mean[members])[:, 0].round(4).astype(float).round(4).tolist()
        for name, members in PARTS.items()
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(
        json.dumps(mean_layout(Path(sys.argv[1]))) + "\n", encoding="utf-8"
    )
