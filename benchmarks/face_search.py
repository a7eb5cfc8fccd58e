"""Whether faces are found, what that takes, and how their frames fit hand-made landmarks.

    python -m benchmarks.face_search PHOTOS

PHOTOS holds `index.json` and `landmarks.npz` as `training/find_landmarks.py` writes them. Prints
the share of labelled faces that are found (intersection over union of half), the processor time of
a picture, and the side and the middle of frames in sides of those that the landmarks mean.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ft_forge.framing import face_box
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.engines.contract import arrays
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.imaging.decode import decode
from ftsdk.imaging.face_detector import Face, FaceDetector
from ftsdk.manifest import stage_graph
from ftsdk.trust import NANO

_FOUND = 0.5


def overlap(face: Face, points: NDArray[np.float64]) -> float:
    """Return intersection over union of a face's box and that of its landmarks [478, 2] in px."""
    one = np.array(face.box)
    other = np.concatenate([points.min(0), points.max(0)])
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = np.prod(sides.clip(0))
    areas = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return float(shared / (areas - shared))


def main(photos: Path) -> None:
    """Print the figures of every labelled picture."""
    index = json.loads((photos / "index.json").read_text(encoding="utf-8"))
    labels = np.load(photos / "landmarks.npz")
    marks: defaultdict[int, list[NDArray[np.float64]]] = defaultdict(list)
    for row, points in zip(labels["file_index"], labels["points"], strict=True):
        marks[int(row)].append(points.astype(np.float64))
    engine = OnnxRuntimeEngine(NANO / stage_graph(FACE_DETECTOR), threads=1)
    detector = FaceDetector(lambda inputs: arrays(engine.infer(inputs)))
    seconds, labelled = 0.0, 0
    sides: list[float] = []
    shifts: list[float] = []
    for row, people in marks.items():
        pixels = decode(photos / index[row]["file"]).pixels
        start = time.process_time()
        faces = detector(pixels)
        seconds += time.process_time() - start
        for points in people:
            labelled += 1
            shared = [overlap(face, points) for face in faces]
            if max(shared, default=0.0) >= _FOUND:
                frame, wanted = faces[int(np.argmax(shared))].frame(), face_box(points)
                sides.append(frame.side / wanted.side)
                shifts.append(np.hypot(*np.subtract(frame.middle, wanted.middle)) / wanted.side)
    print(f"{len(sides) / labelled:.1%} of {labelled} faces in {len(marks)} pictures found")
    print(f"{1e3 * seconds / len(marks):.1f} ms of processor time a picture")
    for name, values in (("side", sides), ("shift of the middle", shifts)):
        print(name, *(f"{share}: {np.quantile(values, share):.3f}" for share in (0.05, 0.5, 0.95)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
