"""One stage's graph to float16 or INT8, as far as its own gate lets it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ft_calibration.ranges import Histogram, Range, Rule
from ft_export.gates.encoders import stage_differences, within
from ft_export.graph.files import load_graph, remove_graph, save_graph
from ft_export.graph.observe import Inputs, TensorDict, link_graph, loaded, observe, owned
from ft_export.precision.float16 import to_float16
from ft_export.precision.int8 import find_products, to_int8
from ftsdk.engines.contract import arrays
from ftsdk.manifest import GateEntry, Precision

#: What an encoder is lowered to. `int8` leaves what is not INT8 float32, best on a CPU;
#: `int8-float16` makes it float16, for a GPU.
Form = Literal["float16", "int8", "int8-float16"]


@dataclass(frozen=True)
class Timed:
    """A graph's outputs for some inputs, and the median time of a call in ms."""

    outputs: list[TensorDict]
    milliseconds: float


@dataclass(frozen=True)
class Lowered:
    """What became of a stage.

    Attributes:
        precision: what it is now; what it was where nothing passed its gate.
        kept: layers that had to stay as they were, or float32.
        entries: what was measured; empty where it stays as it was.
        milliseconds: the median time of a call, before and after.
    """

    precision: Precision
    kept: tuple[str, ...]
    entries: tuple[GateEntry, ...]
    milliseconds: tuple[float, float]


@dataclass(frozen=True)
class StageGraph:
    """A stage's graph and where its lowered form goes; `peaks` are needed for float16 only."""

    stage: str
    precision: Precision
    source: Path
    target: Path
    ranges: Mapping[str, Range]
    peaks: Mapping[str, float]

    def write(self, form: Form, keep: int) -> tuple[Precision, list[str]]:
        """Write the lowered graph; the `keep` products that INT8 would hurt most stay as they are.

        Returns:
            What the graph is now, and the layers that were kept.
        """
        model = load_graph(self.source)
        kept: list[str] = []
        lowered: list[str] = []
        if form != "float16":
            products = find_products(model)
            noise = {id(p): self._noise(p.activation) + p.weight_noise() for p in products}
            ranked = sorted(products, key=lambda product: noise[id(product)], reverse=True)
            limits = {name: found.limit for name, found in self.ranges.items()}
            spared = {id(product) for product in ranked[:keep]}
            lowered = to_int8(model, [p for p in products if id(p) not in spared], limits)
            kept = [product.layer for product in ranked[:keep]]
        if form != "int8":
            kept += to_float16(model, self.peaks)
        remove_graph(self.target)
        save_graph(model, self.target)
        rest: Precision = self.precision if form == "int8" else "float16"
        return ("int8" if lowered else rest), kept

    def _noise(self, tensor: str) -> float:
        return self.ranges[tensor].noise if tensor in self.ranges else 0.0


def lower(graph: StageGraph, form: Form, inputs: Inputs, reference: Timed) -> Lowered:
    """Lower a stage, sparing twice as many layers each time until it passes its gate.

    Args:
        graph: the stage as it is.
        form: what is wanted.
        inputs: what it is judged on.
        reference: its outputs for them.
    """
    products = 0 if form == "float16" else len(find_products(load_graph(graph.source)))
    keep = 0
    while True:
        precision, kept = graph.write(form, keep)
        if precision == graph.precision:
            break
        found = run(graph.target, inputs)
        entries = stage_differences(graph.stage, found.outputs, reference.outputs)
        if within(entries, precision):
            times = reference.milliseconds, found.milliseconds
            return Lowered(precision, tuple(kept), tuple(entries), times)
        if keep >= products:
            break
        keep = min(products, max(1, 2 * keep))
    remove_graph(graph.target)
    link_graph(graph.source, graph.target)
    return Lowered(graph.precision, tuple(kept), (), (reference.milliseconds,) * 2)


def run(graph: Path, inputs: Inputs) -> Timed:
    """Run a graph on each of `inputs`."""
    outputs, seconds = [], []
    with loaded(graph) as engine:
        for feed in inputs:
            start = time.perf_counter()
            outputs.append(owned(arrays(engine.infer(feed))))
            seconds.append(time.perf_counter() - start)
    return Timed(outputs, float(np.median(seconds)) * 1e3)


def observe_ranges(
    source: Path, scratch: Path, inputs: Inputs, rule: Rule
) -> tuple[dict[str, Range], list[TensorDict]]:
    """Return the range of each activation that INT8 would round, by tensor name, and the outputs.

    `inputs` and the outputs are one dictionary a call, from tensor name to array.
    """
    products = find_products(load_graph(source))
    histograms = {product.activation: Histogram() for product in products}

    def add(name: str, values: NDArray[Any]) -> None:
        histograms[name].add(values)

    outputs = observe(source, scratch, tuple(histograms), inputs, add)
    ranges = {}
    for name, histogram in histograms.items():
        limit = histogram.limit(rule)
        ranges[name] = Range(limit=limit, noise=histogram.noise(limit))
    return ranges, outputs


def feeds(samples: Inputs, names: Sequence[str]) -> list[TensorDict]:
    """Return of each sample, tensors by name, only those called `names`."""
    return [{name: sample[name] for name in names} for sample in samples]
