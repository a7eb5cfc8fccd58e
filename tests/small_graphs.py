"""Small ONNX graphs for the tests of the graph passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 21


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    x: list[int | str],
    y: list[int | str],
    domains: dict[str, int] | None = None,
) -> Path:
    """Write a graph from `x` to `y`, both float32, with its inner shapes inferred.

    `domains` are those of its operators beside ONNX's own, with their versions.
    """
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid(*one) for one in {"": OPSET, **(domains or {})}.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def operators(path: Path) -> list[str]:
    """Return the operators of a graph, in order."""
    return [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
