"""The pictures of a report, as data that the file itself holds."""

from __future__ import annotations

from base64 import b64encode

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.answer import Answer
from ftsdk.imaging.drawing import colour_heatmap
from ftsdk.report.markup import Html, element

MAX_SIDE = 1280
"""Pixels that a figure has at most on a side; a page shows no more."""
_QUALITY = 90


def figures(result: Answer) -> Html:
    """Return the picture, its overlay and its heat map, side by side."""
    name = result.picture.name
    return element(
        "div",
        _figure(result.picture.pixels, "The picture as it was analysed", f"Picture {name}"),
        _figure(result.plot(), "With the mask: what the model suspects", f"Overlay of {name}"),
        _figure(
            colour_heatmap(result.heatmap),
            "Heat map: from black (0) over red to pale yellow (1), the probability of manipulation",
            f"Heat map of {name}",
        ),
        class_="figures",
    )


def cell(result: Answer) -> Html:
    """Return what a notebook shows of an answer: finding, overlay and report."""
    return element(
        "div",
        element("p", element("strong", result.finding)),
        element("p", result.report) if result.report else None,
        _image(result.plot(), f"Overlay of {result.picture.name}"),
    )


def _figure(pixels: NDArray[np.uint8], caption: str, alternative: str) -> Html:
    return element("figure", _image(pixels, alternative), element("figcaption", caption))


def _image(pixels: NDArray[np.uint8], alternative: str) -> Html:
    return Html(element("img", src=_data_uri(pixels), alt=alternative).removesuffix("</img>"))


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    height, width = pixels.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + b64encode(encoded.tobytes()).decode()
