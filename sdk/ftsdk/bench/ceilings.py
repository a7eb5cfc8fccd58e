"""What this machine can do at best, timed in the same run, and the floor that follows from it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ftsdk.analyzer import Analyzer
from ftsdk.engines.contract import Engine
from ftsdk.engines.loading import load_graph
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine

_COPY_BYTES = 256 << 20
_SIDE = 1536
_PRODUCTS = {
    *("MatMul", "FusedMatMul", "Gemm", "FusedGemm"),
    *("MatMulInteger", "MatMulIntegerToFloat", "QLinearMatMul", "MatMulNBits", "MatMulBnb4"),
}
_REPETITIONS = 5


@dataclass(frozen=True)
class Ceilings:
    """Host memory traffic of a copy, read plus written, GB/s; a float32 product's GFLOP/s."""

    copy_gb_s: float
    product_gflop_s: float


@dataclass
class Cost:
    """What one analysis asks of a stage: floating-point operations, and ms by operator."""

    calls: int = 0
    gflop: float = 0.0
    operators: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def measure_ceilings() -> Ceilings:
    """Time a copy of 256 MiB and a product of [1536, 1536] float32 with numpy; the best counts."""
    source = np.ones(_COPY_BYTES // 4, np.float32)
    target = np.empty_like(source)
    copy = _best(lambda: np.copyto(target, source))
    square = np.ones((_SIDE, _SIDE), np.float32)
    product = _best(lambda: square @ square)
    return Ceilings(2 * _COPY_BYTES / copy / 1e9, 2 * _SIDE**3 / product / 1e9)


def _best(work: Any) -> float:
    times = []
    for _ in range(_REPETITIONS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def profile(analyzer: Analyzer, picture: Any, threads: int) -> dict[str, Cost]:
    """Analyse `picture` once warm with ONNX Runtime's profiler on, a graph's operators each.

    Products (MatMul, Gemm, Conv) are counted as 2 operations a multiply-add; others as none.
    """
    bundle, device = analyzer.bundle, analyzer.stages.device
    with TemporaryDirectory() as folder:
        profiled: dict[str, OnnxRuntimeEngine] = {}

        def load(stage: str, engine: Engine) -> Engine:
            engine.close()
            made = load_graph(bundle, stage, device, threads, profile=Path(folder) / stage)
            profiled[stage] = made
            return made

        analyzer.stages.replace(load)
        analyzer.analyze(picture)
        analyzer.analyze(picture)
        return {stage: _cost(engine.end_profile()) for stage, engine in profiled.items()}


def _cost(path: Path) -> Cost:
    events = json.loads(path.read_text(encoding="utf-8"))
    runs = [event for event in events if event["name"] == "model_run"]
    if not runs:  # a picture that gets no answer stops before this stage
        return Cost(calls=0)
    # The second half of the runs is the warm analysis.
    warm = sorted(event["ts"] for event in runs)[len(runs) // 2]
    cost = Cost(calls=len(runs) - len(runs) // 2)
    for event in events:
        if event["ts"] >= warm and event["name"].endswith("_kernel_time"):
            arguments = event["args"]
            cost.operators[arguments["op_name"]] += event["dur"] / 1e3
            cost.gflop += _operations(arguments) / 1e9
    return cost


def _operations(arguments: dict[str, Any]) -> float:
    inputs = [next(iter(shape.values())) for shape in arguments["input_type_shape"]]
    outputs = [next(iter(shape.values())) for shape in arguments["output_type_shape"]]
    operator = arguments["op_name"]
    if operator in _PRODUCTS and inputs:  # weights that the runtime has packed are not listed
        return 2.0 * float(prod(outputs[0])) * float(inputs[0][-1])
    if "Conv" in operator and len(inputs) >= 2 and inputs[1]:
        return 2.0 * float(prod(outputs[0])) * float(prod(inputs[1][1:]))
    return 0.0
