"""What was built beside a bundle: each file verified, and whether it is for what is here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ftsdk.doctor.findings import Findings
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.prepared import PreparedGraphs
from ftsdk.machine import processor


def check_engines(bundle: Path) -> Findings:
    """Verify every plan and prepared graph beside a bundle, and say what they are for."""
    found = Findings("engines")
    cache, graphs = EngineCache.beside(bundle), PreparedGraphs.beside(bundle)
    found.faults += [*cache.faults(), *graphs.faults()]
    built = Counter((one.key.gpu, one.key.runtime) for one in cache.records())
    for (gpu, runtime), count in sorted(built.items()):
        found.facts[f"{gpu}, {runtime}"] = f"{count} plans in {cache.folder}"
    found.facts |= _prepared(graphs)
    if not found.facts and not found.faults:
        found.facts["built"] = "none"
    return found


def _prepared(graphs: PreparedGraphs) -> dict[str, str]:
    """Return how many graphs are prepared, and their size, by runtime and processor."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for record in graphs.records():
        whose = "this" if record.key.processor == processor() else "another"
        about = f"{record.key.runtime}, {whose} processor"
        counts[about] += 1
        sizes[about] += record.graph.size + record.weights.size
    return {
        about: f"{count} graphs prepared, {sizes[about] / 1e6:.1f} MB in {graphs.folder}"
        for about, count in sorted(counts.items())
    }
