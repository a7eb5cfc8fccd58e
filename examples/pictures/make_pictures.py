"""Makes the example pictures: a public-domain portrait, and a forgery of one eye and the mouth.

Run `python examples/pictures/make_pictures.py` with scikit-image installed, which carries the
portrait. The result is the same on every run with the same OpenCV release.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

Image = NDArray[np.uint8]

FOLDER = Path(__file__).parent
QUALITY = 95
#: Centre x, y and half axes in px of what is removed and filled from its surroundings.
REMOVED = ((205, 106, 16, 9), (224, 146, 24, 13))


def portrait() -> Image:
    """Return the portrait, [512, 512, 3] uint8 BGR."""
    return np.asarray(cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8)  # type: ignore[no-untyped-call]


def forge(picture: Image) -> tuple[Image, Image]:
    """Return the picture without its right eye and mouth, and the mask [512, 512] of both."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    for x, y, half_width, half_height in REMOVED:
        cv2.ellipse(mask, (x, y), (half_width, half_height), 0, 0, 360, 255, -1)
    return np.asarray(cv2.inpaint(picture, mask, 5, cv2.INPAINT_TELEA), np.uint8), mask


def main() -> None:
    """Write both pictures as JPEG and the mask as PNG."""
    face = portrait()
    forged, mask = forge(face)
    for name, picture in (("portrait", face), ("portrait_forged", forged)):
        cv2.imwrite(str(FOLDER / f"{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    cv2.imwrite(str(FOLDER / "portrait_forged_mask.png"), mask)


if __name__ == "__main__":
    main()
