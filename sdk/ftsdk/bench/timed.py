"""One analysis after the other, timed by stage from outside the stages."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ftsdk.analyzer import Analyzer
from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensors
from ftsdk.events import Finished, MaskReady, RegionsFound, ReportToken

Percentiles = dict[str, float]
_WARM_UP_SECONDS = 10.0


class TimedEngine(Engine):
    """An engine whose own time is added up, in ms; Python around it is not counted."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.milliseconds, self.calls = engine, 0.0, 0

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        start = time.perf_counter()
        outputs = self.engine.infer(inputs, cancellation)
        self.add(start)
        return outputs

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        return _TimedBinding(self.engine.bind(inputs, outputs), self)

    def close(self) -> None:
        self.engine.close()

    def add(self, start: float) -> None:
        """Count a call that began at `start`."""
        self.milliseconds += (time.perf_counter() - start) * 1e3
        self.calls += 1


class _TimedBinding(Binding):
    def __init__(self, binding: Binding, engine: TimedEngine) -> None:
        self._binding, self._engine = binding, engine

    def run(self, changed: Arrays) -> None:
        start = time.perf_counter()
        self._binding.run(changed)
        self._engine.add(start)


@dataclass
class Samples:
    """Milliseconds by what was measured, a number an analysis (a token for `per_token`)."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tokens: int = 0

    def percentiles(self) -> dict[str, Percentiles]:
        """Return p50, p95 and p99 of each, ms."""
        return {
            name: {f"p{p}": float(np.percentile(values, p)) for p in (50, 95, 99)}
            for name, values in self.values.items()
        }


class Bench:
    """An analyzer whose engines are timed.

    Args:
        analyzer: to be measured; its engines are wrapped.
        picture: what it analyses.
    """

    def __init__(self, analyzer: Analyzer, picture: Any) -> None:
        self.analyzer, self.picture = analyzer, picture
        self.samples = Samples()
        self._engines: dict[str, TimedEngine] = {}
        analyzer.stages.replace(self._timed)

    def _timed(self, stage: str, engine: Engine) -> Engine:
        self._engines[stage] = TimedEngine(engine)
        return self._engines[stage]

    def warm_up(self, count: int) -> None:
        """Run up to `count` analyses, for some 10 s, and forget what they took."""
        end = time.perf_counter() + _WARM_UP_SECONDS
        for done in range(count):
            if done and time.perf_counter() > end:
                break
            self.analyze()
        self.samples.values.clear()
        self.samples.tokens = 0

    def analyze_times(self, count: int) -> None:
        """Run `count` analyses and add what they took to the samples."""
        for _ in range(count):
            self.analyze()

    def analyze(self) -> None:
        """Run one analysis and add what it took to the samples."""
        before = {stage: engine.milliseconds for stage, engine in self._engines.items()}
        values, last, writing = self.samples.values, None, 0.0
        start = time.perf_counter()
        for event in self.analyzer.stream(self.picture):
            now = (time.perf_counter() - start) * 1e3
            if isinstance(event, RegionsFound):
                values["to_regions"].append(now)
            elif isinstance(event, MaskReady):
                values["to_mask"].append(now)
            elif isinstance(event, ReportToken):
                self.samples.tokens += 1
                values["to_first_token" if last is None else "per_token"].append(now - (last or 0))
                last = now
            elif isinstance(event, Finished):
                writing = event.result.timings.get("language_decoder", 0.0)
        end_to_end = (time.perf_counter() - start) * 1e3
        spent = {s: engine.milliseconds - before[s] for s, engine in self._engines.items()}
        # A rival that writes whole texts does so without the engine of a step.
        spent["language_decoder"] = spent["language_decoder"] or writing
        for stage, milliseconds in spent.items():
            values[stage].append(milliseconds)
        values["sdk"].append(end_to_end - sum(spent.values()))
        values["end_to_end"].append(end_to_end)


def rates(analyze: Callable[[], object], callers: list[int], seconds: float) -> dict[int, float]:
    """Return pictures a second by number of concurrent callers, each measured for `seconds`."""
    return {count: _rate(analyze, count, seconds) for count in callers}


def _rate(analyze: Callable[[], object], callers: int, seconds: float) -> float:
    done = [0] * callers
    start = time.perf_counter()

    def call(number: int) -> None:
        while time.perf_counter() - start < seconds:
            analyze()
            done[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - start)


def median(values: list[float]) -> float:
    """Return the median; NaN of nothing."""
    return statistics.median(values) if values else float("nan")
