"""The matrix products of a decoder step with nothing around them: the floor of a token's time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir

from ft_export.graph.files import load_graph, save_graph
from ftsdk.engines.onnxruntime import load_runtime
from ftsdk.engines.session_options import SPIN_US


def products_alone(graph: Path, threads: int) -> Callable[[], object]:
    """Return a call that runs every product with a constant of `graph` once, on one row.

    The products have the graph's own weights and precision, and one input a width.
    """
    path = graph.with_name(f"{graph.stem}.products.onnx")
    try:
        widths = _write(load_graph(graph), path)
        runtime = load_runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    finally:
        for left in (path, path.with_name(f"{path.name}.data")):
            left.unlink(missing_ok=True)
    inputs = {f"x{width}": np.ones((1, 1, width), np.float32) for width in widths}
    return lambda: session.run(None, inputs)


def _write(model: ir.Model, path: Path) -> set[int]:
    """Write the graph of the products alone and return the widths of their inputs."""
    inputs: dict[int, ir.Value] = {}
    outputs: list[ir.Value] = []
    nodes: list[ir.Node] = []
    constants: list[ir.Value] = []
    for node in model.graph:
        weight = node.inputs[1] if node.op_type == "MatMul" else None
        stored = _constants(weight)
        if weight is None or not stored:
            continue
        width = int(stored[0].shape[0])  # type: ignore[index,arg-type]
        x = inputs.setdefault(width, _value(f"x{width}", (1, 1, width)))
        constants += stored
        producer = weight.producer()
        if producer is not None:
            copied = ir.node(producer.op_type, producer.inputs, producer.attributes)
            nodes.append(copied)
            weight = copied.outputs[0]
        product = ir.node("MatMul", [x, weight])
        product.outputs[0].name = f"y{len(outputs)}"
        product.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        nodes.append(product)
        outputs.append(product.outputs[0])
    free = [_copy(value) for value in constants]
    for node in nodes:
        for index, value in enumerate(node.inputs):
            if value in constants:
                node.replace_input_with(index, free[constants.index(value)])
    graph = ir.Graph(
        list(inputs.values()), outputs, nodes=nodes, initializers=free,
        opset_imports={"": 21}, name="products",
    )  # fmt: skip
    save_graph(ir.Model(graph, ir_version=10), path)
    return set(inputs)


def _constants(weight: ir.Value | None) -> list[ir.Value]:
    """Return what a product's right factor is stored in; nothing where it is no constant."""
    if weight is None:
        return []
    if weight.is_initializer():
        return [weight]
    producer = weight.producer()
    if producer is None or producer.op_type != "DequantizeLinear":
        return []
    return [value for value in producer.inputs if value is not None]


def _value(name: str, shape: tuple[int, ...]) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))


def _copy(value: ir.Value) -> ir.Value:
    assert value.const_value is not None
    return ir.Value(
        name=value.name, shape=value.shape, type=value.type, const_value=value.const_value
    )
