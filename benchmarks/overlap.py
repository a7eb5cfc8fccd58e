"""Pictures a second in lanes, as `ftsdk.watch` and `ft-batch` have them, and one after another.

    python -m benchmarks.overlap pictures/ --bundle xl.bundle

In lanes the next picture is looked at while the words of the one before are written. Both ways take
turns over the same pictures, nothing of which is kept from one to the next, and the texts are
compared. Prints its table and writes it into docs/benchmarks.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.sections import MarkdownTable, measured_here
from ftsdk.analyzer import Analyzer
from ftsdk.result import Result
from ftsdk.streaming.answers import FrameReported
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.watching import watch_with

Texts = list[str | None]


def one_after_another(analyzer: Analyzer, folder: Path) -> Texts:
    """Return the reports of a folder's pictures."""
    answers = analyzer.analyze_many(sorted(folder.iterdir()))
    return [one.report for one in answers if isinstance(one, Result) and one.report is not None]


def in_lanes(analyzer: Analyzer, folder: Path) -> Texts:
    """Return the same, by the lanes of a watch."""
    answers = watch_with(analyzer, folder, WatchOptions(report="always"))
    return [one.result.report for one in answers if isinstance(one, FrameReported)]


def seconds(work: Callable[[Analyzer, Path], Texts], analyzer: Analyzer, folder: Path) -> float:
    """Return how long `work` takes over the folder."""
    start = time.perf_counter()
    work(analyzer, folder)
    return time.perf_counter() - start


def main(
    folder: Annotated[Path, typer.Argument(metavar="PICTURES", help="A folder of pictures.")],
    bundle: Annotated[str | None, typer.Option(help="Default: nano.")] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each way; the least time counts.")] = 9,
) -> None:
    """Time both ways, and hold their texts against each other."""
    with Analyzer(bundle, device="cpu", cache_bytes=0) as analyzer:
        texts = in_lanes(analyzer, folder)
        assert texts == one_after_another(analyzer, folder)
        both = one_after_another, in_lanes
        turns = [[seconds(work, analyzer, folder) for work in both] for _ in range(rounds)]
        name = analyzer.bundle.manifest.name
    least = [min(times) for times in zip(*turns, strict=True)]
    ratios = sorted(alone / lanes for alone, lanes in turns)
    rows = MarkdownTable(("pictures", "one after another, a second", "in lanes", "times as many"))
    rates = (f"{len(texts) / time:.2f}" for time in least)
    spread = f"{least[0] / least[1]:.2f} (by turn {ratios[0]:.2f} to {ratios[-1]:.2f})"
    rows.add((str(len(texts)), *rates, spread))
    load = f"Load average of the machine {os.getloadavg()[0]:.1f}."
    rows.publish(f"overlap-{name}", f"{name}, with reports. {measured_here()} {load}")


if __name__ == "__main__":
    typer.run(main)
