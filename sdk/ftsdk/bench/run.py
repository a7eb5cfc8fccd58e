"""A bundle's benchmark as one document of plain values, tables of it in `tables.py`."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftsdk.analyzer import Analyzer
from ftsdk.bench.ceilings import Ceilings, Cost, measure_ceilings, profile
from ftsdk.bench.conditions import conditions
from ftsdk.bench.timed import Bench, Samples, median, rates
from ftsdk.machine import device_mib, host_peak_mib, release_freed_memory
from ftsdk.trust import BundleName

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

    bundle: BundleName | None
    device: str
    threads: int
    beams: int | None
    runs: int
    picture: Path | None
    rate_seconds: float


def run(plan: Plan, open_analyzer: Callable[[], Analyzer], rival: Rival | None) -> Document:
    """Measure warm analyses; a rival has its runs between the halves of ours.

    Both then meet the same machine, and neither the other's memory: together two models of the
    published size leave so little that weights are read from the disk again at every analysis.

    Raises:
        FtsdkError: the bundle, the picture or the rival's weights are at fault.
    """
    with open_analyzer() as analyzer:
        bench = Bench(analyzer, plan.picture or _golden(analyzer))
        bench.warm_up(WARM_UP)
        half, theirs = -(-plan.runs // 2), None
        bench.analyze_times(half)
        memory = {"host_peak": host_peak_mib(), "device": device_mib()}
        if rival:
            theirs, their_ids = _measure_rival(rival, open_analyzer, bench.picture, plan.runs)
            # Weights come back from the disk.
            same = analyzer.analyze(bench.picture).report_ids == their_ids
        bench.analyze_times(plan.runs - half)
        slow = median(bench.samples.values["end_to_end"]) > 1e3 * plan.rate_seconds
        callers = _CALLERS[:1] if slow else _CALLERS
        measured = rates(lambda: analyzer.analyze(bench.picture), callers, plan.rate_seconds)
        document = {
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "conditions": conditions(analyzer, plan.threads),
            "settings": _settings(plan, analyzer, bench),
            **times(bench.samples),
            "pictures_per_second": {str(callers): rate for callers, rate in measured.items()},
            "memory_mib": memory,
        }
        ceilings = measure_ceilings()
        document |= _floors(
            analyzer, ceilings, profile(analyzer, bench.picture, plan.threads), document
        )
        if rival and theirs:
            document["against"] = _against(rival.name, bench.samples, theirs, same)
    return document


def _measure_rival(
    rival: Rival, open_analyzer: Callable[[], Analyzer], picture: Any, runs: int
) -> tuple[Samples, tuple[int, ...]]:
    """Measure as many analyses by the rival, and free what it held; say what it wrote, too."""
    with open_analyzer() as analyzer:
        rival.prepare(analyzer)
        bench = Bench(analyzer, picture)
        bench.warm_up(WARM_UP)
        bench.analyze_times(runs)
        written = analyzer.analyze(picture).report_ids
    samples = bench.samples
    del analyzer, bench
    gc.collect()
    release_freed_memory()
    return samples, written


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


def times(samples: Samples) -> Document:
    """Return ms by step, the mask's and the SDK's share of an analysis, and tokens a second."""
    values = samples.values
    whole = median(values["end_to_end"])
    writing = sum(values["language_decoder"])
    return {
        "milliseconds": samples.percentiles(),
        "mask_share": median(values["to_mask"]) / whole,
        "sdk_share": median(values["sdk"]) / whole,
        "tokens_per_second": 1e3 * samples.tokens / writing if writing else 0.0,
    }


def _floors(
    analyzer: Analyzer, ceilings: Ceilings, costs: dict[str, Cost], document: Document
) -> Document:
    """Hold each stage against the time that its weights and products need at the ceilings."""
    manifest, stages = analyzer.bundle.manifest, {}
    for stage, cost in costs.items():
        if not cost.calls:  # a face detector of a model that sees whole pictures
            continue
        megabytes = manifest.graph_bytes(stage) / 1e6
        # Weights are read once a call; a copy's bytes count reading and writing.
        reading = cost.calls * megabytes / ceilings.copy_gb_s
        # The measured product is float32's: it limits no stage of fewer bits.
        float32 = manifest.stages[stage].precision == "float32"
        computing = 1e3 * cost.gflop / ceilings.product_gflop_s if float32 else 0.0
        took = document["milliseconds"][stage]["p50"]
        stages[stage] = {
            "calls": cost.calls,
            "weights_mb": megabytes,
            "gflop": cost.gflop,
            "floor_ms": max(reading, computing),
            "bandwidth_use": reading / took,
            "arithmetic_use": computing / took if float32 else None,
            "operators_ms": dict(sorted(cost.operators.items(), key=lambda item: -item[1])),
        }
    floor = sum(stage["floor_ms"] for stage in stages.values())
    return {"ceilings": asdict(ceilings), "stages": stages, "floor_ms": floor}


def _against(name: str, ours: Samples, theirs: Samples, same_tokens: bool) -> Document:
    theirs_p50 = median(theirs.values["end_to_end"])
    return {
        "runtime": name,
        "same_tokens": same_tokens,
        "milliseconds": theirs.percentiles(),
        "mask_share": median(theirs.values["to_mask"]) / theirs_p50,
        "ratio": theirs_p50 / median(ours.values["end_to_end"]),
    }
