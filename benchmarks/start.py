"""How long a start takes: processes run by turns, each from its beginning to its end.

`python -m benchmarks.start [--against CHECKOUT]` writes the section `start` of docs/benchmarks.md.
What counts is how long the processor was busy, user and system, in the least of the runs: the time
on the clock is of a busy machine, too. A checkout beside this one, built in place, shows what a
change has brought.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.sections import MarkdownTable, measured_here
from ftsdk.trust import NANO

HERE = Path(__file__).parents[1]
PICTURE = HERE / "examples" / "pictures" / "portrait_forged.jpg"
_COMMAND = "from ftsdk.cli.analyze import main; main()"
_ANALYZER = "import sys, ftsdk; analyzer = ftsdk.Analyzer(device='cpu')"
#: What no SDK can do without: nano's files hashed and its graphs loaded, on two threads.
_FLOOR = """
import hashlib, os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy, cv2, onnxruntime
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

def prepare(file):
    hashlib.sha256(file.read_bytes())
    if file.suffix == ".onnx":
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

files = [file for file in Path(sys.argv[1]).rglob("*") if file.is_file()]
with ThreadPoolExecutor(2) as pool:
    kept = list(pool.map(prepare, sorted(files, key=lambda file: -file.stat().st_size)))
"""
#: What is run, and how: code for `python -c`, and its arguments.
STARTS = {
    "python, numpy and OpenCV imported": ("import numpy, cv2", ()),
    "ONNX Runtime too, nano hashed and loaded without ftsdk": (_FLOOR, (str(NANO),)),
    "ft-analyze PICTURE": (_COMMAND, (str(PICTURE),)),
    "ft-analyze PICTURE --json": (_COMMAND, (str(PICTURE), "--json")),
    "import ftsdk, Analyzer()": (_ANALYZER, ()),
    "the same, and an answer": (f"{_ANALYZER}; analyzer.analyze(sys.argv[1])", (str(PICTURE),)),
}


@dataclass(frozen=True)
class Cost:
    """What a process took: processor and clock, in seconds, and page faults."""

    processor: float
    clock: float
    faults: int


def run_once(code: str, arguments: tuple[str, ...], checkout: Path) -> Cost:
    """Run a process with the packages of a checkout and return what it took."""
    path = os.pathsep.join(str(checkout / part) for part in ("sdk", "export", "calibration"))
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        (sys.executable, "-c", code, *arguments),
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    clock, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(busy, clock, after.ru_minflt - before.ru_minflt)


def main(
    runs: Annotated[int, typer.Option(help="Processes of each kind.")] = 10,
    against: Annotated[Path | None, typer.Option(help="A checkout to compare with.")] = None,
) -> None:
    """Time the starts of this checkout, and of another, by turns."""
    places = {"": HERE} | ({"before: ": against} if against else {})
    costs: dict[str, list[Cost]] = {}
    for _ in range(runs):
        for name, (code, arguments) in STARTS.items():
            for when, checkout in places.items() if "ftsdk" in code else [("", HERE)]:
                costs.setdefault(when + name, []).append(run_once(code, arguments, checkout))
    table = MarkdownTable(["process", "processor, s", "clock, s", "times the first", "page faults"])
    first = min(cost.processor for cost in next(iter(costs.values())))
    for name, some in costs.items():
        busy = min(cost.processor for cost in some)
        clock = min(cost.clock for cost in some)
        faults = min(cost.faults for cost in some)
        table.add((name, f"{busy:.2f}", f"{clock:.2f}", f"{busy / first:.1f}", str(faults)))
    load = f"{os.getloadavg()[0]:.1f}"
    table.publish("start", f"{measured_here()} Least of {runs}, by turns; load average {load}.")


if __name__ == "__main__":
    typer.run(main)
