"""What a user changed in an answer, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Edit:
    """One correction.

    Attributes:
        at: when, UTC, ISO 8601.
        by: whoever said that it was them; nothing proves it. None if nobody did.
        regions: the regions that were chosen; None where they stayed as they were.
        mask: a mask was painted.
    """

    at: str
    by: str | None
    regions: tuple[str, ...] | None
    mask: bool


def now() -> str:
    """Return the time in UTC as ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
