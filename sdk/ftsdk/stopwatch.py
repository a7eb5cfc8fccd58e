"""How long each step of an analysis took, and when to give it up."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ftsdk.cancellation import Cancellation
from ftsdk.errors import AnalysisCancelledError, AnalysisFailedError, FtsdkError, OptionError


class Stopwatch:
    """Milliseconds by step, and the end of the caller's patience.

    Inside `with`, the time-out also ends a step that is under way, as a cancellation does.

    Args:
        timeout: seconds from now after which `check` raises; None never does.
        cancellation: makes `check` raise too; None is one that nobody calls.

    Raises:
        OptionError: the time-out is negative or no number.

    Attributes:
        cancellation: ends a step under way.
    """

    def __init__(
        self, timeout: float | None = None, cancellation: Cancellation | None = None
    ) -> None:
        if timeout is not None and not timeout >= 0:
            raise OptionError(
                "the time-out is outside its range",
                expected="0 or more seconds, or None",
                found=repr(timeout),
                cure="pass another timeout",
            )
        self._given_up = self.cancellation = cancellation or Cancellation()
        self._inside = ExitStack()
        self.milliseconds: dict[str, float] = {}
        self._timeout = timeout
        self._deadline = math.inf if timeout is None else time.perf_counter() + timeout

    def __enter__(self) -> Stopwatch:
        if self._timeout is not None:
            self.cancellation = Cancellation()
            self._inside.enter_context(self._given_up.calling(self.cancellation.cancel))
            seconds = min(self.left, threading.TIMEOUT_MAX)
            alarm = threading.Timer(seconds, self.cancellation.cancel)
            self._inside.callback(alarm.cancel)
            alarm.daemon = True
            alarm.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._inside.close()

    def check(self) -> None:
        """Raise AnalysisCancelledError if the time is up, or the analysis was given up."""
        self._given_up.check()
        if self.cancellation.cancelled or time.perf_counter() > self._deadline:
            raise AnalysisCancelledError(
                "the analysis took longer than its time-out",
                expected=f"an answer within {self._timeout:g} s",
                found=", ".join(f"{k} {v:.0f} ms" for k, v in self.milliseconds.items()),
                cure="allow more time, lower max_new_tokens, or ask for no report",
            )

    @property
    def left(self) -> float:
        """Seconds until `check` raises, 0 or more; infinite without a time-out."""
        return max(0.0, self._deadline - time.perf_counter())

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Add the time inside to `step`; checks before it.

        Raises:
            AnalysisCancelledError: the time was up before, or in the midst of what can be ended.
            AnalysisFailedError: the block raised what is no error of ftsdk's own, such as a
                library's or a failed allocation.
        """
        self.check()
        start = time.perf_counter()
        try:
            yield
        except AnalysisCancelledError:
            self.check()  # which knows why
            raise
        except FtsdkError:
            raise
        except Exception as error:
            raise AnalysisFailedError(
                f"a step of the analysis failed: {step}",
                expected="tensors, or an error of ftsdk's own",
                found=f"{type(error).__name__}: {error}",
                cure="leave this picture out; with its cause above, please report it",
            ) from error
        finally:
            spent = (time.perf_counter() - start) * 1e3
            self.milliseconds[step] = self.milliseconds.get(step, 0.0) + spent

    def timings(self) -> dict[str, float]:
        """Return the steps and their sum as `total`."""
        return {**self.milliseconds, "total": sum(self.milliseconds.values())}
