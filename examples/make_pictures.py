"""Makes the example pictures: a public-domain portrait, and a forgery of its eyes and mouth.

Run `python examples/make_pictures.py` with scikit-image installed, which carries the portrait.
The result is the same on every run with the same OpenCV release.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

Image = NDArray[np.uint8]

FOLDER = Path(__file__).parent / "pictures"
# Left, top and side of the face in the portrait, so that it sits as in aligned face data sets.
FACE = (131, 12, 190)
SIDE = 384
QUALITY = 95
# Centre x, y and half axes of the replaced ellipses, in pixels of the cropped face.
EYES = ((146, 180, 34, 21), (237, 184, 34, 21))
MOUTH = (187, 268, 52, 27)
# Radius of the enlarged iris in pixels.
IRIS = 14


def portrait() -> Image:
    """Return the face, [384, 384, 3] uint8 BGR."""
    left, top, side = FACE
    whole = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    face = whole[top : top + side, left : left + side]
    return np.asarray(cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_LANCZOS4), np.uint8)


def forge(face: Image) -> Image:
    """Give the face larger, bluer eyes and a narrower smile, as a generator would paint them."""
    forged = face
    for eye in EYES:
        forged = _replace(forged, _bluer(_scaled(face, eye, (1.32, 1.32)), eye), eye)
    return _replace(forged, _scaled(face, MOUTH, (0.74, 0.98)), MOUTH)


def _scaled(face: Image, ellipse: tuple[int, int, int, int], factors: tuple[float, float]) -> Image:
    """Scale the face around the ellipse's centre, through a coarse grid as generators have."""
    x, y, _, _ = ellipse
    across, down = factors
    matrix = np.array([[across, 0, x - across * x], [0, down, y - down * y]])
    warped = cv2.warpAffine(
        face, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    small = cv2.resize(warped, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    painted = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(painted, np.uint8)


def _bluer(face: Image, ellipse: tuple[int, int, int, int]) -> Image:
    """Turn what is dark around the ellipse's centre into blue: the iris."""
    x, y, _, _ = ellipse
    rows, columns = np.ogrid[:SIDE, :SIDE]
    near = np.clip(IRIS - np.hypot(columns - x, rows - y), 0, 1)
    dark = np.clip((150 - face.max(axis=2).astype(np.float32)) / 60, 0, 1)
    tinted = face * np.array((1.35, 1.05, 0.72)) + (26, 12, 0)
    share = (near * dark)[:, :, None]
    return np.clip(np.rint(face + (tinted - face) * share), 0, 255).astype(np.uint8)


def _replace(face: Image, source: Image, ellipse: tuple[int, int, int, int]) -> Image:
    """Blend `source` into the ellipse so that light and colour match at its border."""
    x, y, half_width, half_height = ellipse
    mask = np.zeros(face.shape[:2], np.uint8)
    cv2.ellipse(mask, (x, y), (half_width, half_height), 0, 0, 360, 255, -1)
    return np.asarray(cv2.seamlessClone(source, face, mask, (x, y), cv2.NORMAL_CLONE), np.uint8)


def main() -> None:
    """Write both pictures as JPEG."""
    FOLDER.mkdir(exist_ok=True)
    face = portrait()
    for name, picture in (("portrait", face), ("portrait_forged", forge(face))):
        cv2.imwrite(str(FOLDER / f"{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
