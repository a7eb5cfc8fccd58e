"""Events as they leave the service."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass

from ftsdk.events import Event, MaskReady, RegionsFound, ReportToken
from ftsdk.serve.analyses import Analysis
from ftsdk.serve.documents import analysis_document, base64_png, compact


@dataclass(frozen=True)
class Message:
    """An event as it leaves the service: its kind, and its JSON."""

    kind: str
    data: str


def as_messages(items: Generator[Event | Analysis, None, None]) -> Generator[Message, None, None]:
    """Yield items as they are sent; closing this closes them."""
    with closing(items):
        yield from map(message, items)


def message(item: Event | Analysis) -> Message:
    """Return an event, or the analysis at the end, as it is sent."""
    if isinstance(item, Analysis):
        return Message("finished", compact(analysis_document(item)))
    if isinstance(item, RegionsFound):
        return Message("regions", compact({"regions": [asdict(region) for region in item.regions]}))
    if isinstance(item, MaskReady):
        height, width = item.probabilities.shape
        fields = {
            "probabilities_png": base64_png(item.probabilities),
            "width": width,
            "height": height,
            "regions": [asdict(region) for region in item.regions],
            "score": item.score,
        }
        return Message("mask", compact(fields))
    assert isinstance(item, ReportToken)
    return Message("token", compact({"id": item.id, "text": item.text}))
