"""How far TensorRT is with a build, as it tells its progress monitor."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol


class Steps(Protocol):
    """Is told of each build's phases."""

    def __call__(self, stage: str, phase: str, done: int, total: int) -> None:
        """Take note that `done` of `total` steps of `phase` are behind."""


class BuildMonitor:
    """Passes TensorRT's outermost phases on to `steps`."""

    def __init__(self, steps: Steps, stage: str) -> None:
        self._steps, self._stage = steps, stage
        self._totals: dict[str, int] = {}

    def started(self, phase: str, parent: str | None, total: int) -> None:
        """Note an outermost phase of `total` steps."""
        if not parent:
            self._totals[phase] = total
            self._steps(self._stage, phase, 0, total)

    def completed(self, phase: str, done: int) -> None:
        """Pass a step of an outermost phase on."""
        if phase in self._totals:
            self._steps(self._stage, phase, done, self._totals[phase])

    def of(self, trt: ModuleType) -> Any:
        """Return this as the module's own monitor."""
        monitor = self

        class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined]
            def __init__(self) -> None:
                super().__init__()

            def phase_start(self, name: str, parent: str | None, total: int) -> None:
                monitor.started(name, parent, total)

            def step_complete(self, name: str, step: int) -> bool:
                monitor.completed(name, step)
                return True

            def phase_finish(self, name: str) -> None:
                pass

        return Monitor()
