"""When a request is given up."""

from __future__ import annotations

from time import monotonic


class Deadline:
    """The end of a request's time: `seconds` from now, for upload, waiting and work together."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 or more."""
        return max(0.0, self._at - monotonic())
