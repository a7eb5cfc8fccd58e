"""The type of a picture."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

#: A picture, `[H, W, 3]` uint8 BGR. OpenCV's stubs do not tell the dtype of what they return.
Image = NDArray[Any]
