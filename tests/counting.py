"""Real engines whose calls are counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ftsdk.analyzer import Analyzer
from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import Binding, Engine, Tensors


class CountedBinding(Binding):
    def __init__(self, binding: Binding, engine: CountedEngine) -> None:
        self.binding, self.engine = binding, engine

    def run(self, changed: Tensors) -> None:
        self.engine.calls += 1
        self.binding.run(changed)


class CountedEngine(Engine):
    """A real engine whose calls are counted."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.calls = engine, 0

    def infer(
        self, inputs: Tensors, cancellation: Cancellation | None = None
    ) -> dict[str, NDArray[np.generic]]:
        self.calls += 1
        return self.engine.infer(inputs, cancellation)

    def bind(self, inputs: Tensors, outputs: Tensors) -> Binding:
        return CountedBinding(self.engine.bind(inputs, outputs), self)

    def close(self) -> None:
        self.engine.close()


#: An analyzer, and its engines by stage.
Counted = tuple[Analyzer, dict[str, CountedEngine]]


def counted(analyzer: Analyzer) -> Counted:
    """Put a counter in front of every engine of `analyzer`."""
    engines: dict[str, CountedEngine] = {}

    def count(stage: str, engine: Engine) -> Engine:
        engines[stage] = CountedEngine(engine)
        return engines[stage]

    analyzer.stages.replace(count)
    return analyzer, engines
