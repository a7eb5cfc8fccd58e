"""Under what conditions a number was measured; without them it is void."""

from __future__ import annotations

import os
import platform
from typing import Any

import cv2
import numpy as np

from ftsdk import machine
from ftsdk.analyzer import Analyzer
from ftsdk.version import __version__


def conditions(analyzer: Analyzer, threads: int) -> dict[str, Any]:
    """Return machine, clocks, power mode, versions and the bundle's identity; None is unknown."""
    bundle, stages = analyzer.bundle, analyzer.stages
    return {
        "cpu": machine.cpu_name(),
        "cores": machine.cores(),
        "threads": threads or "chosen by stage",
        "cpu_mhz": machine.megahertz(),
        "governor": machine.governor(),
        "load_average": os.getloadavg()[0],
        "gpu": next(iter(machine.gpus()), None),
        "power_mode": machine.power_mode(),
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
