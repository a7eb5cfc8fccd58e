"""Under what conditions a number was measured; without them it is void."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ftsdk.analyzer import Analyzer
from ftsdk.version import __version__

_GPU_FIELDS = ("name", "driver_version", "clocks.sm", "clocks.mem", "power.limit", "pstate")


def conditions(analyzer: Analyzer, threads: int) -> dict[str, Any]:
    """Return machine, clocks, power mode, versions and the bundle's identity; None is unknown."""
    bundle, stages = analyzer.bundle, analyzer.stages
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads or "chosen by the runtime",
        "cpu_mhz": _megahertz(),
        "governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "load_average": os.getloadavg()[0],
        "gpu": _gpu(),
        "power_mode": _output("nvpmodel", "-q"),
        "device": stages.device,
        "runtime": stages.runtime,
        "versions": {
            "ftsdk": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "system": platform.platform(),
        },
        "bundle": bundle.manifest.name,
        "bundle_sha256": bundle.sha256,
        "precision": bundle.manifest.precision,
    }


def host_peak_mib() -> float:
    """Return this process' largest resident memory so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def device_mib() -> float | None:
    """Return the GPU memory of this process, MiB; None without an NVIDIA GPU that tells."""
    query = "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"
    rows = (_output("nvidia-smi", *query) or "").splitlines()
    used = [row.split(",")[1] for row in rows if row.split(",")[0].strip() == str(os.getpid())]
    return float(used[0]) if used and used[0].strip().isdigit() else None


def _gpu() -> dict[str, str] | None:
    query = f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"
    row = (_output("nvidia-smi", *query) or "").splitlines()
    return dict(zip(_GPU_FIELDS, row[0].split(", "), strict=False)) if row else None


def _cpu() -> str:
    lines = (_read(Path("/proc/cpuinfo")) or "").splitlines()
    # Arm kernels say no model name; a board does in its device tree.
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    board = (_read(Path("/proc/device-tree/model")) or "").rstrip("\0")
    return (names or [board or platform.machine()])[0]


def _megahertz() -> list[float] | None:
    lines = (_read(Path("/proc/cpuinfo")) or "").splitlines()
    clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return clocks or None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _output(command: str, *arguments: str) -> str | None:
    if shutil.which(command) is None:
        return None
    try:
        done = subprocess.run(
            [command, *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return None
    return done.stdout.strip()
