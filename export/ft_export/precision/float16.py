"""float16 with explicit casts: products, convolutions and what lies between them.

Norms, softmax and logarithms stay float32, and so does every operator with a tensor that came
near float16's end on the calibration pictures. A graph's own inputs and outputs stay float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import onnx_ir as ir

from ft_export.graph.files import layer_of

#: Magnitudes above this stay float32: a sixteenth of float16's largest number.
MAX_PEAK = 65504 / 16
_HALF, _FULL = ir.DataType.FLOAT16, ir.DataType.FLOAT
_HEAVY = {"MatMul", "Gemm", "Conv", "ConvTranspose"}
_LIGHT = {
    "Abs", "Add", "AveragePool", "Clip", "Concat", "DepthToSpace", "DequantizeLinear", "Div",
    "Expand", "Flatten", "Gather", "GatherND", "Gelu", "Max", "MaxPool", "Min", "Mul", "Neg",
    "Pad", "QuantizeLinear", "ReduceMax", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
    "Split", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip
#: Arithmetic that belongs to a norm where all its inputs come from float32 operators.
_NORM = {"Add", "Sub", "Mul", "Div", "Clip", "Sqrt", "Reciprocal"}
#: Inputs that stay float32 whatever the operator computes in.
_FULL_INPUTS = {"Resize": {1, 2}}


def to_float16(model: ir.Model, peaks: Mapping[str, float]) -> list[str]:
    """Turn `model` into float16, in place; return the layers that stay float32 for their range.

    Args:
        model: a graph with float32 inputs and outputs, of opset 19 or later.
        peaks: the largest magnitude of each tensor inside it, as `observe.peaks` finds it.
    """
    run = _Conversion(model.graph)
    overflowing = []
    for node in list(model.graph):
        if _belongs_to_a_norm(node, run.full):
            run.full.add(node)
        elif _exceeds(node, peaks):
            run.full.add(node)
            overflowing.append(layer_of(node))
        elif node.op_type in _HEAVY | _LIGHT and (_is_float(node.outputs[0]) or _rounds(node)):
            run.convert(node)
        else:
            run.full.add(node)
    run.cast_inputs(model.graph)
    return list(dict.fromkeys(overflowing))


@dataclass
class _Conversion:
    """Which operators compute in float16, and the casts and constants made so far."""

    graph: ir.Graph
    full: set[ir.Node] = field(default_factory=set)
    half: set[ir.Node] = field(default_factory=set)
    made: dict[tuple[str, ir.DataType], ir.Value] = field(default_factory=dict)

    def convert(self, node: ir.Node) -> None:
        self.half.add(node)
        for value in node.outputs:
            if _is_float(value):
                value.dtype = _HALF

    def cast_inputs(self, graph: ir.Graph) -> None:
        """Give every operator its inputs in the precision that it computes in."""
        outputs = [value for value in graph.outputs if value.dtype == _HALF]
        for node in list(graph):
            kept = _FULL_INPUTS.get(node.op_type, set()) if node in self.half else set()
            wanted = _HALF if node in self.half else _FULL
            for index, value in enumerate(node.inputs):
                target = _FULL if index in kept else wanted
                if value is not None and value.dtype in (_HALF, _FULL) and value.dtype != target:
                    node.replace_input_with(index, self.converted(value, target))
        for value in outputs:
            self._restore_output(value)
        for name in [n for n, value in graph.initializers.items() if not value.uses()]:
            del graph.initializers[name]

    def converted(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        key = str(value.name), dtype
        if key not in self.made:
            constant = value.const_value is not None and value.is_initializer()
            self.made[key] = self._constant(value) if constant else self._cast(value, dtype)
        return self.made[key]

    def _constant(self, value: ir.Value) -> ir.Value:
        tensor, name = value.const_value, f"{value.name}_float16"
        assert tensor is not None
        shape = ir.Shape(tensor.shape.numpy())
        lazy = ir.LazyTensor(partial(_rounded, tensor, name), _HALF, shape, name=name)
        made = ir.Value(name=name, shape=shape, type=ir.TensorType(_HALF), const_value=lazy)
        self.graph.register_initializer(made)
        return made

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        node = ir.node("Cast", [value], {"to": int(dtype)})
        node.name = f"{value.name}_to_{dtype.name.lower()}"
        made = node.outputs[0]
        made.name, made.shape, made.type = node.name, value.shape, ir.TensorType(dtype)
        producer = value.producer()
        if producer is None:
            self.graph.insert_before(self.graph[0], node)
        else:
            self.graph.insert_after(producer, node)
        return made

    def _restore_output(self, value: ir.Value) -> None:
        name, producer = str(value.name), value.producer()
        assert producer is not None
        value.name = f"{name}_half"
        node = ir.node("Cast", [value], {"to": int(_FULL)}, name=f"{name}_to_output")
        made = node.outputs[0]
        made.name, made.shape, made.type = name, value.shape, ir.TensorType(_FULL)
        self.graph.insert_after(producer, node)
        self.graph.outputs[self.graph.outputs.index(value)] = made


def _rounded(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    limits = np.finfo(np.float16)
    return ir.tensor(np.clip(tensor.numpy(), limits.min, limits.max).astype(np.float16), name=name)


def _belongs_to_a_norm(node: ir.Node, full: set[ir.Node]) -> bool:
    producers = [
        value.producer()
        for value in node.inputs
        if value is not None and _is_float(value) and value.const_value is None
    ]
    return node.op_type in _NORM and bool(producers) and all(p in full for p in producers)


def _exceeds(node: ir.Node, peaks: Mapping[str, float]) -> bool:
    values = (*node.inputs, *node.outputs)
    names = (value.name for value in values if value is not None and value.const_value is None)
    return any(peaks.get(str(name), 0.0) > MAX_PEAK for name in names)


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (_HALF, _FULL)


def _rounds(node: ir.Node) -> bool:
    return node.op_type == "QuantizeLinear"
