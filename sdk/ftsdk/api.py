"""The one-line doors; each keeps its analyzer, so that a second call loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftsdk.analyzer import Analyzer, Color, Image
from ftsdk.events import Event
from ftsdk.result import Result


@lru_cache(maxsize=2)
def _analyzer(bundle: Path | None, device: str) -> Analyzer:
    return Analyzer(bundle, device=device)


def analyze(
    image: Image,
    *,
    bundle: str | Path | None = None,
    device: str = "auto",
    color: Color = "bgr",
    report: bool = True,
) -> Result:
    """Return where a face picture may have been manipulated, and why.

    Args:
        image: path, bytes, binary file, Pillow image, or uint8 array [H, W, 3].
        bundle: a bundle directory; None is the nano model that comes with the package.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        color: channel order of an array; `bgr` is as cv2.imread gives it.
        report: False stops after the mask.

    Raises:
        FtsdkError: see `ftsdk.errors`.

    Example:
        >>> result = ftsdk.analyze("face.jpg")
        >>> print(result.finding, result.report)
    """
    return _resolved(bundle, device).analyze(image, color=color, report=report)


def stream(
    image: Image,
    *,
    bundle: str | Path | None = None,
    device: str = "auto",
    color: Color = "bgr",
    report: bool = True,
) -> Iterator[Event]:
    """Yield RegionsFound, MaskReady, ReportToken..., Finished for one picture; see `analyze`."""
    return _resolved(bundle, device).stream(image, color=color, report=report)


def _resolved(bundle: Any, device: str) -> Analyzer:
    return _analyzer(None if bundle is None else Path(bundle).resolve(), device)
