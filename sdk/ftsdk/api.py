"""The one-line doors; each keeps its analyzer, so that a second call loads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftsdk.analyzer import Analyzer, Image
from ftsdk.events import Event
from ftsdk.imaging.decode import Color
from ftsdk.result import Result
from ftsdk.streaming.answers import FrameAnswer
from ftsdk.streaming.options import Reports, WatchOptions
from ftsdk.streaming.queues import Policy
from ftsdk.streaming.watching import watch_with
from ftsdk.trust import BundleName


@lru_cache(maxsize=2)
def _analyzer(bundle: BundleName, device: str) -> Analyzer:
    return Analyzer(bundle, device=device)


# An analyzer is of no use in a forked child: the next call opens one of its own.
os.register_at_fork(after_in_child=_analyzer.cache_clear)


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
        bundle: a bundle directory; None and `"nano"` are the model that comes with the package, and
            a directory of that name is `"./nano"`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or a provider's, such as `openvino:npu`.
        color: channel order of an array; `bgr` is as cv2.imread gives it.
        report: False stops after the mask.

    Raises:
        FtsdkError: see `ftsdk.errors`.

    Examples:
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
    """Yield RegionsFound, MaskReady, ReportToken..., Finished as they become known.

    Args:
        image: path, bytes, binary file, Pillow image, or uint8 array [H, W, 3].
        bundle: a bundle directory; None is the nano model that comes with the package.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or a provider's, such as `openvino:npu`.
        color: channel order of an array; `bgr` is as cv2.imread gives it.
        report: False stops after the mask, with Finished.

    Raises:
        FtsdkError: see `ftsdk.errors`; those of the picture come with the first event.

    Examples:
        >>> for event in ftsdk.stream("face.jpg"):
        ...     print(event)
    """
    return _resolved(bundle, device).stream(image, color=color, report=report)


def watch(
    source: Any,
    *,
    bundle: str | Path | None = None,
    device: str = "auto",
    policy: Policy | None = None,
    report: Reports | None = None,
    resume: str | Path | None = None,
    retries: int = 0,
    retry_wait: float = 1.0,
    timeout: float = 30.0,
    color: Color = "bgr",
) -> Iterator[FrameAnswer]:
    """Yield FrameMasked, FrameReported and FrameFailed for the frames of a source.

    Every face of a video or camera is followed and answered, as in a picture; the more, the slower.
    Masks keep the frame rate while a report is written. Queues are bounded, so that a mask's
    latency does not grow with the source's rate; it is least with `newest only`.

    Args:
        source: a picture, a folder, a video file, a camera number, an address such as
            `rtsp://...`, an iterable of pictures, or a function that returns one.
        bundle: a bundle directory; None and `"nano"` are the model that comes with the package, and
            a directory of that name is `"./nano"`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or a provider's, such as `openvino:npu`.
        policy: what happens to frames that come faster than answers: `wait`, `drop oldest`,
            `drop newest` or `newest only`. None waits, or takes the newest of a live source.
        report: `on change` of regions or mask since the last report, `always`, or `never`. None
            is `always` for files and folders of pictures, else `on change`.
        resume: a file in which the pictures of a folder are noted once their answer was used;
            those noted there are left out.
        retries: how often in a row a source that died is opened again.
        retry_wait: seconds before each retry.
        timeout: seconds without a frame after which a source is lost.
        color: channel order of frames that are arrays; videos and cameras need none.

    Raises:
        SourceNotFoundError: there is no such source.
        SourceLostError: it died and did not come back; what arrived before was yielded first.
        OptionError: an argument is outside its range.

    Examples:
        >>> for answer in ftsdk.watch("rtsp://camera/stream", retries=10):
        ...     if isinstance(answer, ftsdk.FrameReported):
        ...         print(answer.frame.seconds, answer.result.report)
    """
    options = WatchOptions(policy, report, resume, retries, retry_wait, timeout, color)
    return watch_with(_resolved(bundle, device), source, options)


def _resolved(bundle: Any, device: str) -> Analyzer:
    return _analyzer(BundleName.of(bundle).resolved(), device)
