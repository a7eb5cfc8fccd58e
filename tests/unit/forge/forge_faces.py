"""A face folder made from the public-domain portrait that scikit-image carries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from ft_forge import FaceSet
from ft_forge.faces import Entry
from ft_forge.framing import face_box
from ft_forge.geometry import PARTS
from ft_forge.regenerated import FOLDER
from ftsdk.imaging.framing import Box

SIDE = 192
#: Part name to centre and radii, in shares of the picture's side.
_LAYOUT: dict[str, tuple[float, float, float, float]] = {
    "left_eye": (0.60, 0.42, 0.055, 0.025),
    "right_eye": (0.40, 0.42, 0.055, 0.025),
    "left_eyebrow": (0.61, 0.36, 0.075, 0.018),
    "right_eyebrow": (0.39, 0.36, 0.075, 0.018),
    "left_pupil": (0.60, 0.42, 0.018, 0.018),
    "right_pupil": (0.40, 0.42, 0.018, 0.018),
    "lip": (0.50, 0.68, 0.10, 0.035),
    "nose": (0.50, 0.54, 0.06, 0.08),
    "face_oval": (0.50, 0.53, 0.26, 0.34),
    "forehead": (0.50, 0.27, 0.18, 0.07),
    "chin": (0.50, 0.80, 0.10, 0.05),
    "right_cheek": (0.34, 0.56, 0.06, 0.07),
    "left_cheek": (0.66, 0.56, 0.06, 0.07),
    "right_jaw": (0.34, 0.72, 0.05, 0.05),
    "left_jaw": (0.66, 0.72, 0.05, 0.05),
}


def landmarks(jitter: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return `[478, 2]` float32 landmarks in pixels; those of no part fill the face oval."""
    rng = np.random.default_rng(seed)
    x, y, w, h = _LAYOUT["face_oval"]
    points = np.array([x, y]) + rng.uniform(-0.7, 0.7, (478, 2)) * [w, h]
    for part, (x, y, w, h) in _LAYOUT.items():
        angles = np.linspace(0, 2 * np.pi, len(PARTS[part]), endpoint=False)
        points[PARTS[part]] = [x, y] + np.stack([np.cos(angles), np.sin(angles)], 1) * [w, h]
    points[[61, 291]] = [[0.4, 0.68], [0.6, 0.68]]  # the mouth's corners
    return (SIDE * (points + jitter * rng.standard_normal(points.shape))).astype(np.float32)


def write_regenerated(folder: Path, made: Callable[[FaceSet, Entry, Box], np.ndarray]) -> None:
    """Lay beside each face of `folder` the square that `made` returns for its box."""
    faces, index = FaceSet(folder), []
    (folder / FOLDER).mkdir()
    for entry in faces.entries:
        box = face_box(faces.points[entry.row])
        cv2.imwrite(str(folder / FOLDER / f"{entry.row}.png"), made(faces, entry, box))
        place = [box.x, box.y, box.side, box.angle]
        index.append({"file": f"{entry.row}.png", "of": entry.file, "box": place})
    (folder / FOLDER / "index.json").write_text(json.dumps(index))


def write_faces(folder: Path, people: int = 6, held_out: str | None = None) -> None:
    """Write a face folder: `people` relit portraits, the first two at three edit levels each.

    `held_out` holds the digits of the people of the validation half; None names no halves.
    """
    portrait = cv2.cvtColor(data.astronaut()[0:220, 110:330], cv2.COLOR_RGB2BGR)
    portrait = cv2.resize(portrait, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(3)
    index: list[dict[str, str | int]] = []
    points = []

    def add(image: np.ndarray, identity: str, attribute: str, level: int) -> None:
        file = f"{identity}_{attribute or 'base'}_{level}.png"
        cv2.imwrite(str(folder / file), image)
        index.append({
            "file": file, "kind": "edit" if attribute else "base", "identity": identity,
            "attribute": attribute, "level": level,
        })  # fmt: skip
        points.append(landmarks(0.002, int(identity)))

    for person in range(people):
        tint = rng.uniform(0.7, 1.2, 3)
        image = np.clip(portrait * tint + rng.normal(0, 3, portrait.shape), 0, 255)
        add(image.astype(np.uint8), str(person), "", 1)
        for level in range(3 if person < 2 else 0):
            shifted = np.clip(image + 14 * level, 0, 255).astype(np.uint8)
            add(shifted, str(person), "age", level)
    if held_out is not None:
        for item in index:
            item["split"] = "validation" if str(item["identity"]) in held_out else "train"
    (folder / "index.json").write_text(json.dumps(index))
    np.savez(folder / "landmarks.npz", points=np.array(points, np.float16))
