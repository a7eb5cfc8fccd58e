"""What Prometheus may ask."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from ftsdk.serve.analyses import AnalysisStore
from ftsdk.serve.budget import Budget
from ftsdk.serve.workers import Workers

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Metrics:
    """The service's counters; the process collector adds memory, CPU and open files."""

    def __init__(self, workers: Workers, store: AnalysisStore, budget: Budget) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._stages = Histogram(
            "ftsdk_stage_seconds", "Time by step of an analysis", ["stage"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.analyses = Counter(
            "ftsdk_analyses", "Analyses by outcome", ["outcome"], registry=registry
        )
        self.refused = Counter(
            "ftsdk_refused", "Requests refused, by error class", ["error"], registry=registry
        )
        for outcome in ("finished", "failed", "cancelled"):
            self.analyses.labels(outcome)
        gauges = {
            "ftsdk_queue_depth": ("Analyses that wait for a worker", lambda: workers.waiting),
            "ftsdk_running": ("Analyses that a worker is at", lambda: workers.running),
            "ftsdk_kept_analyses": ("Analyses that can be asked for", lambda: len(store)),
            "ftsdk_upload_bytes": ("Bytes of uploads that are held", lambda: budget.held),
            "ftsdk_kept_bytes": ("Bytes that kept analyses take", lambda: store.nbytes),
            "ftsdk_kept_bytes_most": ("Bytes that they may take", lambda: store.most),
        }
        for name, (text, value) in gauges.items():
            Gauge(name, text, registry=registry).set_function(value)

    def observe(self, timings: Mapping[str, float]) -> None:
        """Count the milliseconds of each step of a finished analysis."""
        for stage, spent in timings.items():
            self._stages.labels(stage).observe(spent / 1e3)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
