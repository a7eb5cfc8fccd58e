"""How a source is watched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ftsdk.errors import OptionError
from ftsdk.imaging.decode import Color, check_color
from ftsdk.streaming.queues import Policy, check_policy

#: When a report is written: where something changed since the last one, always, or never.
Reports = Literal["on change", "always", "never"]


@dataclass(frozen=True)
class WatchOptions:
    """What `ftsdk.watch` takes, checked; its documentation says what each field means.

    Raises:
        OptionError: a field is outside its range.
    """

    policy: Policy | None = None
    report: Reports | None = None
    resume: str | Path | None = None
    retries: int = 0
    retry_wait: float = 1.0
    timeout: float = 30.0
    color: Color = "bgr"

    def __post_init__(self) -> None:
        if self.policy is not None:
            check_policy(self.policy)
        check_color(self.color)
        reports = get_args(Reports)
        limits = {
            "report": (self.report in (None, *reports), ", ".join(f'"{r}"' for r in reports)),
            "retries": (
                isinstance(self.retries, int) and self.retries >= 0,
                "a whole number, 0 or more",
            ),
            "retry_wait": (
                isinstance(self.retry_wait, int | float) and 0 <= self.retry_wait < float("inf"),
                "0 or more seconds",
            ),
            "timeout": (
                isinstance(self.timeout, int | float) and self.timeout > 0,
                "more than 0 seconds",
            ),
        }
        for name, (valid, expected) in limits.items():
            if not valid:
                raise OptionError(
                    f"{name} is outside its range",
                    expected=expected,
                    found=repr(getattr(self, name)),
                    cure=f"pass another {name}",
                )
