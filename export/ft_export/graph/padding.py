"""Zeros beside the channels of convolutions, for providers that count channels in fours."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

#: Inputs with fewer channels are whole pictures, whose copy would cost more than it is for.
_MANY = 32


def pad_channels(graph: ir.Graph) -> None:
    """Let no convolution of many input channels have a number that is no multiple of four.

    WebGPU's provider computes one of 63 or of 66 channels wrongly. Zeros are added to the input and
    to the weights, which changes no sum.
    """
    for node in [node for node in graph if node.op_type == "Conv"]:
        x, weight = node.inputs[0], node.inputs[1]
        if x is None or weight is None or weight.const_value is None:
            continue
        values = weight.const_value.numpy()
        missing = -values.shape[1] % 4
        group = node.attributes.get("group")
        if values.shape[1] > _MANY and missing and (group is None or group.as_int() == 1):
            _pad(graph, node, x, values, missing)


def _pad(graph: ir.Graph, node: ir.Node, x: ir.Value, values: np.ndarray, missing: int) -> None:
    axes = values.ndim
    after = [0] * (2 * axes)
    after[axes + 1] = missing  # of the channels, at their end
    widths = [(0, 0), (0, missing), *[(0, 0)] * (axes - 2)]
    pads = _constant(graph, f"{node.name}.pads", np.array(after, np.int64))
    padded = ir.node("Pad", [x, pads], name=f"{node.name}.pad")
    wide = padded.outputs[0]
    # What lowers a graph goes by the types of its values.
    wide.name = f"{node.name}.padded"
    wide.type = ir.TensorType(ir.DataType.from_numpy(values.dtype))
    graph.insert_before(node, padded)
    node.replace_input_with(0, wide)
    node.replace_input_with(1, _constant(graph, f"{node.name}.weight", np.pad(values, widths)))


def _constant(graph: ir.Graph, name: str, value: np.ndarray) -> ir.Value:
    made = ir.Value(
        name=name,
        shape=ir.Shape(value.shape),
        type=ir.TensorType(ir.DataType.from_numpy(value.dtype)),
        const_value=ir.tensor(value, name=name),
    )
    graph.register_initializer(made)
    return made
