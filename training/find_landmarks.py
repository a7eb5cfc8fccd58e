"""Find the faces of a folder of photographs, for `python -m ft_forge.photographs`.

`python find_landmarks.py FOLDER SOURCE [LEAST_PX]` writes FOLDER/index.json and
FOLDER/landmarks.npz: each face at least LEAST_PX wide with the 478 points of MediaPipe's face mesh.
It needs an environment of its own with `mediapipe==0.10.14`, whose NumPy is an older one.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import mediapipe
import numpy as np

#: Longest side in px at which faces are looked for.
_SEARCH = 1280
_MOST_FACES = 4


def boxes(image: Any, detector: Any, least: float) -> Iterator[tuple[int, int, int, int]]:
    """Yield (left, top, right, bottom) in px around each face, with room on all sides."""
    height, width = image.shape[:2]
    scale = min(1.0, _SEARCH / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = detector.process(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)).detections or []
    for one in found[:_MOST_FACES]:
        box = one.location_data.relative_bounding_box
        x, y, w, h = box.xmin * width, box.ymin * height, box.width * width, box.height * height
        if w >= 0.85 * least:
            low, high = (max(x - 0.6 * w, 0), max(y - 0.6 * w, 0)), (x + 1.6 * w, y + h + 0.6 * w)
            yield int(low[0]), int(low[1]), int(min(high[0], width)), int(min(high[1], height))


def points_in(image: Any, box: tuple[int, int, int, int], mesh: Any) -> Any:
    """Return the landmarks [478, 2] float32 in px of the face in `box`, or None."""
    left, top, right, bottom = box
    crop = image[top:bottom, left:right]
    if not crop.size:
        return None
    found = mesh.process(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)).multi_face_landmarks
    if not found:
        return None
    marks = np.array([(one.x, one.y) for one in found[0].landmark], np.float32)
    return (marks * crop.shape[1::-1] + (left, top)).astype(np.float32)


def main(folder: Path, source: str, least: float) -> None:
    """Write index and landmarks of `folder`; a tenth of the files, by name, is validation."""
    detector = mediapipe.solutions.face_detection.FaceDetection(1, 0.6)
    mesh = mediapipe.solutions.face_mesh.FaceMesh(True, 1, True, 0.5)
    index, rows, marks = [], [], []
    names = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    for path in names:
        image = cv2.imread(str(path))
        if image is None:
            print(f"cannot be read, left out: {path}", file=sys.stderr)
            continue
        held_out = zlib.crc32(path.stem.encode()) % 10 == 0
        facts = {
            "file": str(path.relative_to(folder)), "person": path.stem, "source": source,
            "split": "validation" if held_out else "train",
        }  # fmt: skip
        index.append(facts)
        for box in boxes(image, detector, least):
            points = points_in(image, box, mesh)
            if points is not None and np.ptp(points[:, 0]) >= least:
                rows.append(len(index) - 1)
                marks.append(points)
    (folder / "index.json").write_text(json.dumps(index, indent=0) + "\n", encoding="utf-8")
    np.savez(folder / "landmarks.npz", file_index=np.array(rows), points=np.array(marks))
    print(len(marks), "faces in", len(index), "pictures")


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 90.0)
