"""What runs on a node: a bundle, proven there, and the rows of the files that it is handed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ftsdk.analyzer import Analyzer
from ftsdk.batch.rows import Row
from ftsdk.batch.run import rows_of
from ftsdk.batch.sources import Entry, Listing
from ftsdk.errors import FtsdkError, NodeUnfitError
from ftsdk.fleet.allocation import Usage
from ftsdk.machine import device_mib, output
from ftsdk.text import is_address, path_of
from ftsdk.trust import NANO, BundleName

#: What one GPU's memory is counted for, beside what was measured.
_GPU_MARGIN = 1.1


@dataclass(frozen=True)
class WorkerConfig:
    """What every worker is told.

    Attributes:
        version: of the ftsdk that starts the workers.
        folder: where the bundle is on every node; None is the one in the package.
        sha256: of its manifest.json.
        listing: where the files begin; without the files.
        report: write reports, or stop at the masks.
        device: `auto`, `cpu` or `cuda`.
    """

    version: str
    folder: Path | None
    sha256: str
    listing: Listing
    report: bool
    device: str


class Worker:
    """One analyzer in a process of its own; Ray makes it where it is to be.

    Args:
        config: what to do.
        threads: inside one operator.
    """

    def __init__(self, config: WorkerConfig, threads: int) -> None:
        self._config, self._threads = config, threads
        self._analyzer: Analyzer | None = None

    def start(self) -> Usage | FtsdkError:
        """Load the bundle, and return what it uses here, or why it cannot be used here."""
        config = self._config
        bundle = BundleName(config.folder or NANO, config.sha256)
        try:
            _require_folder(config.listing.root.where)
            self._analyzer = Analyzer(
                bundle, device=config.device, threads=self._threads, isolate_decoding=True
            )
            return measure_usage(self._analyzer, config.report)
        except FtsdkError as error:
            return error

    def rows(self, entries: Sequence[Entry]) -> list[Row]:
        """Return the rows of files, in any order."""
        assert self._analyzer is not None
        config = self._config
        return [*rows_of(self._analyzer, config.listing, entries, report=config.report)]


def measure_usage(analyzer: Analyzer, report: bool) -> Usage:
    """Return what an analyzer of one thread uses, by an analysis of the bundle's own picture."""
    bundle, process = analyzer.bundle, psutil.Process()
    start, used = time.perf_counter(), _cpu_seconds(process)
    analyzer.analyze(bundle.file(bundle.manifest.golden_picture), report=report)
    cores = (_cpu_seconds(process) - used) / (time.perf_counter() - start)
    processes = process, *process.children(recursive=True)
    memory = sum(one.memory_info().rss for one in processes)
    on_gpu = analyzer.stages.device.startswith("cuda")
    return Usage(cores, memory, _gpu_fraction() if on_gpu else 0.0)


def _cpu_seconds(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def _gpu_fraction() -> float:
    """Return what this process holds of a GPU's memory; all of it where nobody tells."""
    query = "--query-gpu=memory.total", "--format=csv,noheader,nounits"
    totals = [float(line) for line in (output("nvidia-smi", *query) or "").split()]
    held = device_mib()
    return min(1.0, _GPU_MARGIN * held / min(totals)) if held and totals else 1.0


def _require_folder(where: str) -> None:
    if is_address(where) or os.path.isdir(path_of(where)):  # noqa: PTH112  (an unreadable one, too)
        return
    raise NodeUnfitError(
        "the pictures are not there",
        expected=f"the folder {where}, as on the machine where ft-batch was started",
        found="no such folder",
        cure="mount it at the same place on every node, or pass its address, such as s3://...",
    )
