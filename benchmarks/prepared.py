"""What a large bundle's start costs: graphs as they are, while they are prepared, and prepared.

`python -m benchmarks.prepared BUNDLE` runs processes by turns and writes the section
`prepared-NAME` of docs/benchmarks.md. What was prepared beside the bundle goes first. Every process
traces the bundle's golden picture afterwards, and all its tensors must be the same bits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.sections import MarkdownTable, measured_here
from ftsdk.bundle import open_bundle
from ftsdk.engines.cache import EngineCache

_OPEN = "import ftsdk; from ftsdk.bundle import open_bundle; open_bundle(sys.argv[1]); trace = None"
_LOAD = "import ftsdk; a = ftsdk.Analyzer(sys.argv[1], device='cpu'); trace = a.trace"
_AS_THEY_ARE = "import ftsdk; from ftsdk.engines import preparing; preparing.LEAST_BYTES = 1 << 62"
#: Prints what a start took and left in memory, and a hash of the golden picture's tensors.
_MEASURED = """
import sys, time
begun = time.perf_counter()
{start}
import hashlib, json, resource
used, clock = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - begun
lines = open('/proc/self/status').read().splitlines()
mib = {{line.split(':')[0]: int(line.split()[1]) >> 10 for line in lines if line.endswith('kB')}}
digest = hashlib.sha256()
for name, value in sorted(trace(sys.argv[1] + '/golden/picture.png').items() if trace else ()):
    digest.update(value.tobytes() if hasattr(value, 'tobytes') else str(value).encode())
print(json.dumps({{'processor': used.ru_utime + used.ru_stime, 'clock': clock,
    'peak': mib['VmHWM'], 'resident': mib['VmRSS'], 'mapped': mib['RssFile'],
    'tensors': digest.hexdigest() if trace else None}}))
"""
_STARTS = {
    "the bundle opened, every file hashed": _OPEN,
    "graphs as they are": f"{_AS_THEY_ARE}; {_LOAD}",
    "the first start, which prepares them": _LOAD,
    "prepared": _LOAD,
}


def run_once(start: str, bundle: Path) -> dict[str, Any]:
    """Run a start in a process of its own; see `_MEASURED`."""
    code = _MEASURED.format(start=start)
    command = (sys.executable, "-c", code, str(bundle))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def measured(bundle: Path, runs: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each start and what it took; the one that prepares comes once."""
    EngineCache.beside(bundle).clear()
    for run in range(runs):
        for name, start in _STARTS.items():
            if run == 0 or "first" not in name:
                yield name, run_once(start, bundle)


def main(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    runs: Annotated[int, typer.Option(help="Processes of each kind.")] = 3,
) -> None:
    """Measure the starts of a bundle."""
    costs: dict[str, list[dict[str, Any]]] = {}
    for name, cost in measured(bundle, runs):
        costs.setdefault(name, []).append(cost)
    table = MarkdownTable(
        ["start", "processor, s", "clock, s", "peak, MiB", "resident, MiB", "of it mapped, MiB"]
    )
    for name, some in costs.items():
        least = {key: min(one[key] for one in some) for key in some[0] if key != "tensors"}
        memory = (str(least[key]) for key in ("peak", "resident", "mapped"))
        table.add((name, f"{least['processor']:.1f}", f"{least['clock']:.1f}", *memory))
    tensors = {one["tensors"] for some in costs.values() for one in some} - {None}
    bits = "The golden picture's tensors are the same bits in all."
    note = f"{measured_here()} Least of {runs}, by turns; load average {os.getloadavg()[0]:.1f}."
    table.publish(
        f"prepared-{open_bundle(bundle).manifest.name}",
        f"{note} {bits if len(tensors) == 1 else 'THE TENSORS DIFFER.'}",
    )


if __name__ == "__main__":
    typer.run(main)
