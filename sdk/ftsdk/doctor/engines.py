"""The engines beside a bundle: each verified, and whether they are for what is here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ftsdk.doctor.findings import Findings
from ftsdk.engines.cache import EngineCache


def check_engines(bundle: Path) -> Findings:
    """Verify every plan beside a bundle, and say what they are for."""
    found = Findings("engines")
    cache = EngineCache.beside(bundle)
    found.faults += cache.faults()
    built = Counter((one.key.gpu, one.key.runtime) for one in cache.records())
    for (gpu, runtime), count in sorted(built.items()):
        found.facts[f"{gpu}, {runtime}"] = f"{count} plans in {cache.folder}"
    if not found.facts and not found.faults:
        found.facts["built"] = "none"
    return found
