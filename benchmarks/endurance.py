"""A source too fast for its engine, many callers of one analyzer, and new pictures for long.

    python -m benchmarks.endurance overload --seconds 600
    python -m benchmarks.endurance callers --count 64
    python -m benchmarks.endurance soak --seconds 1800

Each writes its section of docs/benchmarks.md, and exits with 1 where a count or an answer is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
import psutil
import typer
from numpy.typing import NDArray

from benchmarks.marked import marked_picture
from benchmarks.sections import MarkdownTable, measured_here
from ftsdk.analyzer import Analyzer
from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensors
from ftsdk.result import Result
from ftsdk.streaming.answers import FrameMasked
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.watching import watch_with

#: Frames a second of the source, and the least seconds of a mask: 60 against 5.
RATE, MASK_SECONDS = 60, 0.2

app = typer.Typer(add_completion=False, help=__doc__)


class SlowEngine(Engine):
    """A real engine that takes `seconds` longer."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine, self._seconds = engine, seconds

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        time.sleep(self._seconds)
        return self._engine.infer(inputs, cancellation)

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        return self._engine.bind(inputs, outputs)

    def close(self) -> None:
        self._engine.close()


class Memory:
    """This process' resident memory, MiB, at each call."""

    def __init__(self) -> None:
        self._process, self._start = psutil.Process(), time.perf_counter()
        self.minutes: list[float] = []
        self.resident: list[float] = []

    def note(self) -> None:
        """Measure once."""
        self.minutes.append((time.perf_counter() - self._start) / 60)
        self.resident.append(self._process.memory_info().rss / 2**20)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield levels, and the slope of the second half, when everything has been met once."""
        half = len(self.resident) // 2
        minutes, resident = np.array(self.minutes[half:]), np.array(self.resident[half:])
        slope, offset = np.polyfit(minutes, resident, 1)
        noise = np.std(resident - (slope * minutes + offset))
        levels = self.resident[0], self.resident[half], self.resident[-1]
        yield "memory, MiB: first / half / last", " / ".join(f"{level:.0f}" for level in levels)
        yield "slope of the second half, MiB a minute", f"{slope:.2f} (noise {noise:.2f} MiB)"


@app.command()
def overload(seconds: Annotated[float, typer.Option(help="How long.")] = 600) -> None:
    """Watch 60 frames a second with an engine that manages at most 5."""
    given, end = 0, time.perf_counter() + seconds

    def camera() -> Iterator[NDArray[np.uint8]]:
        nonlocal given
        while time.perf_counter() < end:
            given += 1
            yield marked_picture(given % 16)
            time.sleep(1 / RATE)

    latencies, dropped, memory = [], 0, Memory()
    with Analyzer(device="cpu", cache_bytes=0) as analyzer:
        analyzer.stages.replace(
            lambda stage, e: SlowEngine(e, MASK_SECONDS) if stage == "vision_encoder" else e
        )
        for answer in watch_with(analyzer, camera(), WatchOptions(policy="newest only")):
            if isinstance(answer, FrameMasked):
                dropped = answer.dropped
                latencies.append(answer.latency_ms)
                memory.note()
    shares = np.percentile(latencies, (50, 99, 100))
    rows = [
        ("frames given / masked / dropped", f"{given} / {len(latencies)} / {dropped}"),
        ("ms from mask to mask", f"{1e3 * seconds / len(latencies):.0f}"),
        ("latency, ms: p50 / p99 / most", " / ".join(f"{share:.0f}" for share in shares)),
        *memory.rows(),
    ]
    wrong = given - len(latencies) - dropped
    _publish("overload", [("seconds", f"{seconds:.0f}"), *rows], wrong)


@app.command()
def callers(
    count: Annotated[int, typer.Option(help="Threads.")] = 64,
    rounds: Annotated[int, typer.Option(help="Questions of each.")] = 2,
) -> None:
    """Let threads ask one analyzer, each about its own picture, and compare with asking alone."""
    pictures = [marked_picture(mark) for mark in range(count)]
    with Analyzer(device="cpu", cache_bytes=0) as analyzer:
        alone = [analyzer.analyze(picture) for picture in pictures]
        with ThreadPoolExecutor(count) as pool:
            found = list(pool.map(analyzer.analyze, pictures * rounds))
    wrong = sum(not _same(a, b) for a, b in zip(found, alone * rounds, strict=True))
    rows = [("callers", str(count)), ("answers", str(len(found))), ("wrong", str(wrong))]
    _publish("callers", rows, wrong)


def _same(found: Result, alone: Result) -> bool:
    return (
        found.picture.sha256 == alone.picture.sha256
        and np.array_equal(found.heatmap, alone.heatmap)
        and np.array_equal(found.mask, alone.mask)
        and found.report == alone.report
    )


@app.command()
def soak(seconds: Annotated[float, typer.Option(help="How long.")] = 1800) -> None:
    """Analyse a new picture of a new size each time."""
    random, end, memory = np.random.default_rng(0), time.perf_counter() + seconds, Memory()
    with Analyzer(device="cpu") as analyzer:
        while time.perf_counter() < end:
            width, height = random.integers(64, 1200, 2)
            analyzer.analyze(marked_picture(len(memory.resident), int(width), int(height)))
            memory.note()
    rows = [("seconds", f"{seconds:.0f}"), ("pictures", str(len(memory.resident)))]
    _publish("soak", [*rows, *memory.rows()])


def _publish(section: str, rows: Sequence[tuple[str, str]], wrong: int = 0) -> None:
    table = MarkdownTable((section, "found"))
    for row in (*rows, ("load average of the machine", f"{psutil.getloadavg()[1]:.1f}")):
        table.add(row)
    table.publish(section, measured_here())
    raise typer.Exit(int(wrong != 0))


if __name__ == "__main__":
    app()
