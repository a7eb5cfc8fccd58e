"""What a watch yields: a frame's mask, its report, or its failure."""

from __future__ import annotations

from dataclasses import dataclass

from ftsdk.errors import FtsdkError
from ftsdk.result import Result


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        index: how many frames the source gave before it, dropped ones counted.
        name: its path inside a folder, or its number.
        seconds: its place in a video; else s from the start of the watch to its arrival.

    Examples:
        >>> answer = next(ftsdk.watch("video.mp4"))
        >>> print(answer.frame.index, answer.frame.seconds)
    """

    index: int
    name: str
    seconds: float


@dataclass(frozen=True)
class FrameMasked:
    """Mask and regions of a frame; `result.report` is None.

    Attributes:
        frame: which one.
        result: the answer without words.
        latency_ms: from the frame's arrival to this answer.
        dropped: frames that were dropped so far, of the whole source.

    Examples:
        >>> for answer in ftsdk.watch("video.mp4", report="never"):
        ...     if isinstance(answer, ftsdk.FrameMasked):
        ...         print(answer.frame.seconds, answer.result.mask.mean(), answer.latency_ms)
    """

    frame: Frame
    result: Result
    latency_ms: float
    dropped: int


@dataclass(frozen=True)
class FrameReported:
    """The whole answer to a frame that was masked before; later frames may come in between.

    Attributes:
        frame: which one.
        result: the answer with words.
        latency_ms: from the frame's arrival to this answer.
        dropped: frames that were dropped so far, of the whole source.

    Examples:
        >>> for answer in ftsdk.watch("video.mp4"):
        ...     if isinstance(answer, ftsdk.FrameReported):
        ...         print(answer.frame.seconds, answer.result.report)
    """

    frame: Frame
    result: Result
    latency_ms: float
    dropped: int


@dataclass(frozen=True)
class FrameFailed:
    """A frame that could not be analysed; the watch goes on.

    Attributes:
        frame: which one.
        error: why.
        dropped: frames that were dropped so far, of the whole source.

    Examples:
        >>> for answer in ftsdk.watch("suspicious/", report="never"):
        ...     if isinstance(answer, ftsdk.FrameFailed):
        ...         print(answer.frame.name, answer.error.cure)
    """

    frame: Frame
    error: FtsdkError
    dropped: int


FrameAnswer = FrameMasked | FrameReported | FrameFailed
"""What `ftsdk.watch` yields.

Examples:
    >>> def late(answer: ftsdk.FrameAnswer) -> bool:
    ...     return not isinstance(answer, ftsdk.FrameFailed) and answer.latency_ms > 1000
    >>> print(sum(map(late, ftsdk.watch("video.mp4"))))
"""


def is_last(answer: FrameAnswer, report: bool) -> bool:
    """Tell whether nothing more comes of a frame.

    Args:
        answer: one of its answers.
        report: whether every frame is reported; of what the model cannot tell there is no report.
    """
    more = report and isinstance(answer, FrameMasked) and answer.result.cannot_tell is None
    return not more
