"""A bundle's benchmark as one document of plain values, tables of it in `tables.py`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ftsdk.analyzer import Analyzer
from ftsdk.bench.ceilings import Ceilings, Cost, measure_ceilings, profile
from ftsdk.bench.conditions import conditions
from ftsdk.bench.timed import Bench, median, rates
from ftsdk.machine import device_mib, host_peak_mib

SCHEMA_VERSION = 1
#: Analyses that are not counted, before those that are.
WARM_UP = 3
#: Concurrent callers; one alone where a picture takes longer than the time for measuring them.
_CALLERS = [1, 2, 4, 8]

Document = dict[str, Any]


@dataclass(frozen=True)
class Rival:
    """Another runtime of the same weights.

    Attributes:
        name: what it is, for the table.
        prepare: puts it in the place of an analyzer's own engines.
    """

    name: str
    prepare: Callable[[Analyzer], object]


@dataclass(frozen=True)
class Plan:
    """What is measured; see `ft-bench --help`."""

    bundle: Path | None
    device: str
    threads: int
    beams: int | None
    runs: int
    picture: Path | None
    rate_seconds: float


def run(plan: Plan, open_analyzer: Callable[[], Analyzer], rival: Rival | None) -> Document:
    """Measure warm analyses; a rival takes turns with ftsdk, so that both meet the same machine.

    Raises:
        FtsdkError: the bundle, the picture or the rival's weights are at fault.
    """
    with ExitStack() as stack:
        analyzer = stack.enter_context(open_analyzer())
        bench = Bench(analyzer, plan.picture or _golden(analyzer))
        bench.warm_up(WARM_UP)
        ours, theirs = bench, None
        memory = {"host_peak": host_peak_mib(), "device": device_mib()}
        if rival:
            other = stack.enter_context(open_analyzer())
            rival.prepare(other)
            theirs = Bench(other, bench.picture)
            theirs.warm_up(WARM_UP)
        for _ in range(plan.runs):
            ours.analyze()
            if theirs:
                theirs.analyze()
            else:
                memory = {"host_peak": host_peak_mib(), "device": device_mib()}
        slow = median(ours.samples.values["end_to_end"]) > 1e3 * plan.rate_seconds
        callers = _CALLERS[:1] if slow else _CALLERS
        measured = rates(lambda: analyzer.analyze(bench.picture), callers, plan.rate_seconds)
        document = {
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "conditions": conditions(analyzer, plan.threads),
            "settings": _settings(plan, analyzer, ours),
            **times(ours),
            "pictures_per_second": {str(callers): rate for callers, rate in measured.items()},
            "memory_mib": memory,
        }
        ceilings = measure_ceilings()
        document |= _floors(
            analyzer, ceilings, profile(analyzer, bench.picture, plan.threads), document
        )
        if rival and theirs:
            document["against"] = _against(rival.name, ours, theirs)
    return document


def _golden(analyzer: Analyzer) -> Path:
    return analyzer.bundle.file(analyzer.bundle.manifest.golden_picture)


def _settings(plan: Plan, analyzer: Analyzer, bench: Bench) -> Document:
    language = analyzer.language
    return {
        "runs": plan.runs,
        "warm_up": WARM_UP,
        "picture": Path(bench.picture).name,
        "beams": language.beams,
        "max_new_tokens": language.max_new_tokens,
        "tokens": bench.samples.tokens / max(plan.runs, 1),
    }


def times(bench: Bench) -> Document:
    """Return ms by step, the mask's and the SDK's share of an analysis, and tokens a second."""
    values = bench.samples.values
    whole = median(values["end_to_end"])
    writing = sum(values["language_decoder"])
    return {
        "milliseconds": bench.samples.percentiles(),
        "mask_share": median(values["to_mask"]) / whole,
        "sdk_share": median(values["sdk"]) / whole,
        "tokens_per_second": 1e3 * bench.samples.tokens / writing if writing else 0.0,
    }


def _floors(
    analyzer: Analyzer, ceilings: Ceilings, costs: dict[str, Cost], document: Document
) -> Document:
    """Hold each stage against the time that its weights and products need at the ceilings."""
    manifest, stages = analyzer.bundle.manifest, {}
    for stage, cost in costs.items():
        graph = manifest.stages[stage].graph
        files = (name for name in manifest.files if name == graph or name == f"{graph}.data")
        megabytes = sum(manifest.files[name].size for name in files) / 1e6
        # Weights are read once a call; a copy's bytes count reading and writing.
        reading = cost.calls * megabytes / ceilings.copy_gb_s
        computing = 1e3 * cost.gflop / ceilings.product_gflop_s
        took = document["milliseconds"][stage]["p50"]
        stages[stage] = {
            "calls": cost.calls,
            "weights_mb": megabytes,
            "gflop": cost.gflop,
            "floor_ms": max(reading, computing),
            "bandwidth_use": reading / took,
            "arithmetic_use": computing / took,
            "operators_ms": dict(sorted(cost.operators.items(), key=lambda item: -item[1])),
        }
    floor = sum(stage["floor_ms"] for stage in stages.values())
    return {"ceilings": asdict(ceilings), "stages": stages, "floor_ms": floor}


def _against(name: str, ours: Bench, theirs: Bench) -> Document:
    theirs_p50 = median(theirs.samples.values["end_to_end"])
    return {
        "runtime": name,
        "milliseconds": theirs.samples.percentiles(),
        "mask_share": median(theirs.samples.values["to_mask"]) / theirs_p50,
        "ratio": theirs_p50 / median(ours.samples.values["end_to_end"]),
    }
