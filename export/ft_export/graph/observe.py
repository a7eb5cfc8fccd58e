"""What flows through an exported float32 graph: chosen tensors, or every tensor's peak."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ft_export.graph.files import data_file, remove_graph
from ftsdk.engines.contract import arrays
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.machine import release_freed_memory

TensorDict = dict[str, NDArray[np.generic]]
Inputs = Sequence[Mapping[str, NDArray[np.generic]]]


def observe(
    graph: Path,
    scratch: Path,
    tensors: Sequence[str],
    inputs: Inputs,
    seen: Callable[[str, NDArray[Any]], None],
) -> list[TensorDict]:
    """Run `graph` on each of `inputs`, show `tensors` to `seen`, and return the graph's outputs.

    Args:
        graph: a float32 graph.
        scratch: a directory for a graph that also yields `tensors`; it lives as long as the call.
        tensors: names of values inside the graph; inputs and outputs may be among them.
        inputs: each one call's tensors by name, in the shapes and types that the graph takes.
        seen: called with a tensor's name and value; the array may not be kept.
    """
    model = onnx.load(graph, load_external_data=False)
    own = [output.name for output in model.graph.output]
    given = {value.name for value in model.graph.input}
    extra = [name for name in tensors if name not in given and name not in own]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in extra
    )
    results = []
    with _changed(model, graph, scratch) as engine:
        for feed in inputs:
            found = arrays(engine.infer(feed))
            for name in tensors:
                seen(name, feed[name] if name in given else found[name])
            results.append(owned({name: found[name] for name in own}))
    return results


def owned(tensors: TensorDict) -> TensorDict:
    """Return copies to keep: an array of the runtime's holds all the memory of its session."""
    return {name: value.copy() for name, value in tensors.items()}


def peaks(graph: Path, scratch: Path, inputs: Inputs) -> dict[str, float]:
    """Return the largest magnitude of every float tensor inside `graph` over all of `inputs`.

    The magnitudes are reduced inside the graph, so that no activation leaves it.
    """
    model = onnx.load(graph, load_external_data=False)
    del model.graph.output[:]
    names = [
        value.name
        for value in model.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    ]
    for name in names:
        model.graph.node.append(helper.make_node("Abs", [name], [f"{name}/abs"]))
        model.graph.node.append(
            helper.make_node("ReduceMax", [f"{name}/abs"], [f"{name}/peak"], keepdims=0)
        )
        model.graph.output.append(
            helper.make_tensor_value_info(f"{name}/peak", TensorProto.FLOAT, [])
        )
    found = dict.fromkeys(names, 0.0)
    with _changed(model, graph, scratch) as engine:
        for feed in inputs:
            for key, value in arrays(engine.infer(feed)).items():
                name = key.removesuffix("/peak")
                found[name] = max(found[name], float(value))
    return found


@contextmanager
def loaded(graph: Path) -> Iterator[OnnxRuntimeEngine]:
    """Yield what runs an encoder's graph; its memory goes back to the system in the end."""
    engine = OnnxRuntimeEngine(graph, many_rows=True)
    try:
        yield engine
    finally:
        engine.close()
        release_freed_memory()


@contextmanager
def _changed(model: onnx.ModelProto, graph: Path, scratch: Path) -> Iterator[OnnxRuntimeEngine]:
    """Yield what runs `model`, which has the weights of `graph`."""
    path = scratch / graph.name
    onnx.save(model, path)
    if data_file(graph).is_file():
        link_or_copy(data_file(graph), data_file(path))
    try:
        with loaded(path) as engine:
            yield engine
    finally:
        remove_graph(path)


def link_graph(source: Path, target: Path) -> None:
    """Give a graph and its weights a second name."""
    link_or_copy(source, target)
    if data_file(source).is_file():
        link_or_copy(data_file(source), data_file(target))


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that is not possible."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
