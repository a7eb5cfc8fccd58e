"""One bundle on several devices, by turns in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftsdk.analyzer import Analyzer
from ftsdk.bench.conditions import conditions
from ftsdk.bench.run import SCHEMA_VERSION, WARM_UP
from ftsdk.bench.timed import Bench, median
from ftsdk.errors import EngineError

Document = dict[str, Any]


def run_devices(
    devices: Sequence[str],
    open_analyzer: Callable[[str], Analyzer],
    runs: int,
    picture: Path | None,
    threads: int,
) -> Document:
    """Measure `runs` warm analyses on each device, one on each after the other.

    A device that cannot be used is named with its reason, and the others are measured. Ratios are
    to the first device that was measured.

    Args:
        devices: as `Analyzer` takes them.
        open_analyzer: opens the bundle on one.
        runs: timed analyses on each.
        picture: what is analysed; None is the bundle's golden picture.
        threads: for the conditions.

    Raises:
        FtsdkError: the bundle or the picture is at fault, or a device's name is none.
    """
    with ExitStack() as opened:
        benches: dict[str, Bench] = {}
        refused: dict[str, dict[str, str]] = {}
        for device in devices:
            try:
                analyzer = opened.enter_context(open_analyzer(device))
            except EngineError as error:
                refused[device] = error.to_dict()
                continue
            golden = analyzer.bundle.file(analyzer.bundle.manifest.golden_picture)
            benches[device] = Bench(analyzer, picture or golden)
        for bench in benches.values():
            bench.warm_up(WARM_UP)
        for _ in range(runs):
            for bench in benches.values():
                bench.analyze()
        return {
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "runs": runs,
            "devices": _measured(benches, threads),
            "refused": refused,
        }


def _measured(benches: dict[str, Bench], threads: int) -> Document:
    first = next(iter(benches.values()), None)
    return {
        device: {
            "conditions": conditions(bench.analyzer, threads),
            "milliseconds": bench.samples.percentiles(),
            "ratios": {
                step: median(values) / median(first.samples.values[step])
                for step, values in bench.samples.values.items()
                if first and median(first.samples.values[step])
            },
        }
        for device, bench in benches.items()
    }
