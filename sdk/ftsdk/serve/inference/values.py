"""What is asked about a picture and what is answered, whatever carries the tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import RequestError
from ftsdk.imaging.encode import encode_png
from ftsdk.serve.analyses import Analysis
from ftsdk.serve.documents import analysis_document, compact
from ftsdk.serve.inference.documents import ANSWER, HEATMAP, MASK, PICTURE, PIXELS, Tensor
from ftsdk.serve.picture_file import Upload
from ftsdk.text import last_name

_COLORS = ("bgr", "rgb")


@dataclass(frozen=True)
class Options:
    """The parameters of a request.

    Attributes:
        name: what the client calls the picture.
        report: False stops at the mask.
        color: channel order of pixels.
    """

    name: str = "picture"
    report: bool = True
    color: str = "bgr"

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Options:
        """Return what a request's parameters say.

        Raises:
            RequestError: an unknown channel order.
        """
        color = str(parameters.get("color", "bgr"))
        if color not in _COLORS:
            raise RequestError(
                "the channel order is unknown",
                expected="the parameter color as 'bgr', as cv2.imread gives it, or 'rgb'",
                found=color[:40],
                cure="leave it out, or name the order of the pixels",
            )
        name = str(parameters.get("name", "picture"))[:500]
        return cls(last_name(name), bool(parameters.get("report", True)), color)

    def as_file(self, pixels: NDArray[np.uint8]) -> bytes:
        """Return pixels [H, W, 3] as the file that is kept and corrected; PNG loses nothing."""
        return encode_png(pixels if self.color == "bgr" else pixels[:, :, ::-1])

    def upload(self, data: bytes) -> Upload:
        """Return a file under the client's name for it."""
        return Upload(data, self.name)


def picture_input(given: Collection[str]) -> str:
    """Return which of a request's inputs holds the picture.

    Raises:
        RequestError: none does, or two.
    """
    files = sorted({PICTURE.name, PIXELS.name}.intersection(given))
    if len(files) == 1:
        return files[0]
    raise RequestError(
        "the request holds no picture",
        expected=f"one of the inputs '{PICTURE.name}' and '{PIXELS.name}'",
        found=", ".join(files) or "neither",
        cure="see GET /v2/models/NAME",
    )


def value_of(tensor: Tensor, analysis: Analysis) -> bytes | NDArray[Any]:
    """Return an output for one picture: JSON, or [H, W] bool or float32."""
    if tensor is MASK:
        return analysis.result.mask
    if tensor is HEATMAP:
        return analysis.result.heatmap
    assert tensor is ANSWER
    return compact(analysis_document(analysis)).encode()
