"""INT8 as explicit QuantizeLinear and DequantizeLinear around a graph's matrix products.

Symmetric, weights with a scale a column, activations with a scale a tensor: the form that ONNX
Runtime, TensorRT 10 and 11 and TensorRT-RTX all take. Only products with weights of their own are
touched, and only with activations of three axes or more: a single row is bound by memory, and
ONNX Runtime multiplies two-axis INT8 activations in float32. A weight may be int4, as in a 4-bit
language model: 4 bits save a decoder's memory traffic, but on a CPU cost an encoder time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ft_export.graph.files import layer_of

#: Smaller weights than this leave more time in converting than they save in multiplying.
MIN_WEIGHTS = 4096
_LEVELS = 127


@dataclass(frozen=True)
class Product:
    """A matrix product with a constant weight [K, N], float32 or int4 in blocks of rows.

    Attributes:
        layer: its name in the torch module.
        activation: the graph's name of its left side.
    """

    layer: str
    activation: str
    node: ir.Node

    @property
    def weight(self) -> ir.Value:
        """The right side."""
        value = self.node.inputs[1]
        assert value is not None
        return value

    def weight_noise(self) -> float:
        """Return the power of the weight's rounding error relative to the weight's."""
        weight = _array(_constants(self.weight))
        power = float(np.sum(np.square(weight, dtype=np.float64)))
        rounding = weight.shape[0] * float(np.sum(np.square(column_scales(weight)))) / 12
        return rounding / power if power else 0.0


def find_products(model: ir.Model) -> list[Product]:
    """Return the products that INT8 is for, in the order in which they run."""
    found = []
    for node in model.graph:
        if node.op_type != "MatMul" or node.domain not in ("", "ai.onnx"):
            continue
        left, right = node.inputs
        if left is None or right is None or left.name is None:
            continue
        weight = next(iter(_constants(right)), None)
        if weight is None or weight.dtype not in (ir.DataType.FLOAT, ir.DataType.INT4):
            continue
        many_rows = left.shape is not None and len(left.shape) >= 3
        if len(weight.shape) == 2 and many_rows and weight.size >= MIN_WEIGHTS:
            found.append(Product(layer_of(node), left.name, node))
    return found


def to_int8(
    model: ir.Model, products: Collection[Product], limits: Mapping[str, float]
) -> list[str]:
    """Turn `products` of `model` into INT8, in place, and return the layers that are.

    Args:
        model: a float32 graph of opset 13 or later.
        products: some of `find_products(model)`.
        limits: the magnitude that 127 stands for, of each product's activation; a product whose
            activation has none, or 0, stays as it is.
    """
    done = []
    for number, product in enumerate(products):
        limit = limits.get(product.activation, 0.0)
        if limit <= 0.0:
            continue
        node, weight = product.node, product.weight
        node.replace_input_with(0, _activation(model.graph, node, limit, number))
        node.replace_input_with(1, _weight(model.graph, node, weight, number))
        _remove(model.graph, weight)
        done.append(product.layer)
    return done


def _constants(weight: ir.Value) -> list[ir.TensorProtocol]:
    """Return a float32 weight, the codes and scales of an int4 one, or nothing."""
    if weight.const_value is not None:
        return [weight.const_value]
    source = weight.producer()
    if source is None or "block_size" not in source.attributes:
        return []
    constants = [value.const_value for value in source.inputs if value is not None]
    return [constant for constant in constants if constant is not None]


def _array(constants: list[ir.TensorProtocol]) -> NDArray[np.float32]:
    """Return [K, N] float32."""
    values = constants[0].numpy()
    if len(constants) == 1:
        return values
    scales = constants[1].numpy()
    each = np.repeat(scales, len(values) // len(scales), axis=0)
    return np.multiply(values.astype(np.float32), each, dtype=np.float32)


def _remove(graph: ir.Graph, weight: ir.Value) -> None:
    """Take a weight that nothing uses any more out of the graph, with what makes it."""
    if weight.uses():
        return
    source = weight.producer()
    if source is None:
        del graph.initializers[str(weight.name)]
        return
    inputs = [value for value in source.inputs if value is not None]
    graph.remove(source, safe=True)
    for value in inputs:
        _remove(graph, value)


def column_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [N] float32: what 1 stands for in each column of a weight [K, N]."""
    peak = np.abs(weight).max(axis=0)
    return np.where(peak > 0, peak / np.float32(_LEVELS), np.float32(1)).astype(np.float32)


def _activation(graph: ir.Graph, node: ir.Node, limit: float, number: int) -> ir.Value:
    # Each product has its own QuantizeLinear with its own scale and zero point, also where q, k
    # and v read one tensor: ONNX Runtime 1.32 leaves products of a shared one in float32.
    value = node.inputs[0]
    assert value is not None
    name = f"{value.name}_{number}"
    scale = _constant(graph, f"{name}_scale", np.array(limit / _LEVELS, np.float32))
    zero = _constant(graph, f"{name}_zero", np.array(0, np.int8))
    layer = dict(node.metadata_props)
    to_int = ir.node("QuantizeLinear", [value, scale, zero], metadata_props=layer)
    back = ir.node("DequantizeLinear", [to_int.outputs[0], scale, zero], metadata_props=layer)
    return _inserted(graph, node, name, to_int, back)


def _weight(graph: ir.Graph, node: ir.Node, weight: ir.Value, number: int) -> ir.Value:
    constants = _constants(weight)
    name = f"{weight.name}_{number}"
    scales = column_scales(_array(constants))
    # The integers are computed again when the file is written, so that they never lie in memory
    # all at once.
    rounded = ir.LazyTensor(
        partial(_rounded, constants, scales, f"{name}_int8"),
        ir.DataType.INT8,
        ir.Shape(constants[0].shape.numpy()),
        name=f"{name}_int8",
    )
    integers = _initializer(graph, rounded)
    scale = _constant(graph, f"{name}_scale", scales)
    zero = _constant(graph, f"{name}_zero", np.zeros(len(scales), np.int8))
    back = ir.node(
        "DequantizeLinear",
        [integers, scale, zero],
        {"axis": 1},
        metadata_props=dict(node.metadata_props),
    )
    return _inserted(graph, node, name, back)


def _rounded(
    constants: list[ir.TensorProtocol], scales: NDArray[np.float32], name: str
) -> ir.TensorProtocol:
    return ir.tensor(np.rint(_array(constants) / scales).astype(np.int8), name=name)


def _inserted(graph: ir.Graph, before: ir.Node, name: str, *nodes: ir.Node) -> ir.Value:
    for node in nodes:
        kind = ir.DataType.INT8 if node.op_type == "QuantizeLinear" else ir.DataType.FLOAT
        made, source = node.outputs[0], node.inputs[0]
        made.name, made.type = f"{name}_{node.op_type.lower()}", ir.TensorType(kind)
        made.shape = None if source is None else source.shape
        node.name = f"{name}_{node.op_type}"
    graph.insert_before(before, nodes)
    return nodes[-1].outputs[0]


def _constant(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    return _initializer(graph, ir.tensor(array, name=name))


def _initializer(graph: ir.Graph, tensor: ir.TensorProtocol) -> ir.Value:
    value = ir.Value(
        name=tensor.name,
        shape=ir.Shape(tensor.shape.numpy()),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value
