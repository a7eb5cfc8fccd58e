"""Where a face picture was manipulated, and why.

    >>> import ftsdk
    >>> result = ftsdk.analyze("face.jpg")
    >>> print(result.finding, result.report)

Importing this package loads neither numpy nor an engine; its names load what they need. It keeps
dependencies from phoning home (`ftsdk.privacy`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ftsdk import privacy
from ftsdk.version import __version__

if TYPE_CHECKING:
    from ftsdk.analyzer import Analyzer
    from ftsdk.answer import Region
    from ftsdk.api import analyze, stream, watch
    from ftsdk.cancellation import Cancellation
    from ftsdk.errors import FtsdkError
    from ftsdk.events import Event, Finished, MaskReady, RegionsFound, ReportToken
    from ftsdk.language.options import Language
    from ftsdk.result import Failure, Result
    from ftsdk.streaming.answers import (
        Frame,
        FrameAnswer,
        FrameFailed,
        FrameMasked,
        FrameReported,
    )
    from ftsdk.streaming.summary import VideoSummary

privacy.silence()

_HOMES = {
    "Analyzer": "ftsdk.analyzer",
    "Cancellation": "ftsdk.cancellation",
    "Event": "ftsdk.events",
    "Failure": "ftsdk.result",
    "Finished": "ftsdk.events",
    "Frame": "ftsdk.streaming.answers",
    "FrameAnswer": "ftsdk.streaming.answers",
    "FrameFailed": "ftsdk.streaming.answers",
    "FrameMasked": "ftsdk.streaming.answers",
    "FrameReported": "ftsdk.streaming.answers",
    "FtsdkError": "ftsdk.errors",
    "Language": "ftsdk.language.options",
    "MaskReady": "ftsdk.events",
    "Region": "ftsdk.answer",
    "RegionsFound": "ftsdk.events",
    "ReportToken": "ftsdk.events",
    "Result": "ftsdk.result",
    "VideoSummary": "ftsdk.streaming.summary",
    "analyze": "ftsdk.api",
    "stream": "ftsdk.api",
    "watch": "ftsdk.api",
}

__all__ = [
    "Analyzer",
    "Cancellation",
    "Event",
    "Failure",
    "Finished",
    "Frame",
    "FrameAnswer",
    "FrameFailed",
    "FrameMasked",
    "FrameReported",
    "FtsdkError",
    "Language",
    "MaskReady",
    "Region",
    "RegionsFound",
    "ReportToken",
    "Result",
    "VideoSummary",
    "__version__",
    "analyze",
    "stream",
    "watch",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ftsdk' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
