# For a deployment engineer: does a model say on that device what it says on this one?
"""Usage: python examples/compare_devices.py model_parameter/ xl face.jpg cpu cuda:0

Exports the weights where that was not done yet, and compares every tensor of both devices' chains.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import ftsdk

#: CUDA's float32 products round to TF32.
ALLOWED = 2e-2


def exported(weights: str, architecture: str) -> Path:
    """Return the bundle of published weights; an export that is killed goes on where it was."""
    bundle = Path(f"{Path(weights).resolve().name}.bundle")
    if not bundle.exists():
        options = ["--architecture", architecture, "--language", "float32", "--out", str(bundle)]
        subprocess.run(["ft-export", weights, *options], check=True)
    return bundle


def main(weights: str, architecture: str, picture: str, one: str, other: str) -> bool:
    """Print how far each tensor differs between two devices; return whether all are close."""
    bundle, traces = exported(weights, architecture), []
    for device in (one, other):
        with ftsdk.Analyzer(bundle, device=device) as analyzer:
            traces.append(analyzer.trace(picture))
    close = True
    for name, expected in traces[0].items():
        found = traces[1][name]
        if isinstance(expected, str) or np.issubdtype(expected.dtype, np.integer):
            same = np.array_equal(expected, found)
            print(f"{name:20} {'the same' if same else 'another'}")
        else:
            difference = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
            print(f"{name:20} relative difference {difference:.1e}")
            close &= difference <= ALLOWED
    return close


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    sys.exit(0 if main(*sys.argv[1:]) else 1)
