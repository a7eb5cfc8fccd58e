"""Giving an analysis up while a thread is at it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ftsdk.errors import AnalysisCancelledError


class Cancellation:
    """A request to give one analysis up, made from any thread.

    ONNX Runtime stops between two operators of the stage under way; a runtime that cannot stop
    ends the analysis with that stage. The analysis then raises AnalysisCancelledError.

    Examples:
        >>> import threading
        >>> given_up = ftsdk.Cancellation()
        >>> alarm = threading.Timer(5, given_up.cancel)
        >>> alarm.start()
        >>> with ftsdk.Analyzer() as analyzer:
        ...     result = analyzer.analyze("face.jpg", cancellation=given_up)
        >>> alarm.cancel()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._stops: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Give up, for good; may be called more than once."""
        with self._lock:
            self._cancelled = True
            for stop in self._stops:
                stop()

    def check(self) -> None:
        """Raise AnalysisCancelledError if `cancel` was called."""
        if self._cancelled:
            raise AnalysisCancelledError(
                "the analysis was cancelled",
                expected="an analysis that runs to its end",
                found="a call of cancel()",
                cure="start it again",
            )

    @contextmanager
    def calling(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` as soon as `cancel` is called inside the block.

        Args:
            stop: what ends the work under way; called from the thread that cancels.

        Raises:
            AnalysisCancelledError: `cancel` was called before, or the block failed after it.
        """
        with self._lock:
            self.check()
            self._stops.append(stop)
        try:
            yield
        except Exception:
            self.check()
            raise
        finally:
            with self._lock:
                self._stops.remove(stop)
