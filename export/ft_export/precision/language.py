"""The language model's matrices in fewer bits, rewritten in the exported graph.

int4 is one file for every runtime: a DequantizeLinear in blocks before each MatMul, which ONNX
Runtime fuses into a 4-bit kernel when it loads the graph and TensorRT when it builds a plan. The
scales are float32, since a cast between scale and product undoes the fusion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from ft_export.graph.files import layer_of
from ft_export.precision.activations import Observations
from ft_export.precision.rounding import to_int4
from ftsdk.errors import OptionError
from ftsdk.manifest import Precision, Rounding

#: bitsandbytes' own block of NF4, which `MatMulBnb4` takes.
NF4_BLOCK = 64
#: A product whose inputs or outputs come this near to float16's end keeps float32.
_HEADROOM = 16.0
#: Small, of the Q-Former's width, and no part of the language model: it stays as it is.
_BRIDGE = "t5_proj"


@dataclass(frozen=True)
class LanguagePrecision:
    """How the language model's matrices are stored.

    Attributes:
        precision: `int4`, `nf4`, `float16` or `float32`.
        block: rows of a matrix that share a scale, for int4.
        rounding: how int4 codes are chosen: `gptq` by what flows in where reports are read
            aloud, `clipped` and `nearest` by the matrix alone.
    """

    precision: Precision = "int4"
    block: int = 32
    rounding: Rounding = "clipped"

    @property
    def observes(self) -> bool:
        """Whether reports have to be read to the float32 model first."""
        return self.precision == "int4" and self.rounding == "gptq"


@dataclass(frozen=True)
class Product:
    """A MatMul whose right factor [K, N] is a constant, and the module that it came from."""

    node: ir.Node
    weight: ir.Value
    module: str

    def matrix(self) -> Tensor:
        """Return the constant as float32 [K, N]."""
        assert self.weight.const_value is not None
        values = self.weight.const_value.numpy()
        return torch.from_numpy(np.require(values, requirements=("C", "W")))


def products(model: ir.Model) -> Iterator[Product]:
    """Yield every product of the language model with a constant matrix, in order."""
    for node in list(model.graph):
        weight = node.inputs[1] if node.op_type == "MatMul" else None
        if weight is None or not weight.is_initializer() or len(weight.shape or ()) != 2:
            continue
        module = layer_of(node)
        if module != _BRIDGE:
            yield Product(node, weight, module)


def lower_language(
    model: ir.Model, chosen: LanguagePrecision, observations: Observations | None = None
) -> None:
    """Rewrite a language stage's graph in place to the precision `chosen`.

    Args:
        model: the graph, float32.
        chosen: what it becomes.
        observations: of the stage's torch module; without them no product is known to overflow
            float16, and `gptq` is `clipped`.

    Raises:
        OptionError: a block size does not fit, or bitsandbytes is missing.
        TensorValueError: a matrix has no usable range.
    """
    write = _WRITERS[chosen.precision]
    for product in products(model):
        write(_Rewrite(model.graph, product), chosen, observations or Observations())
        if not product.weight.uses():
            del model.graph.initializers[str(product.weight.name)]


@dataclass
class _Rewrite:
    """One product on its way to another precision."""

    graph: ir.Graph
    product: Product
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"{self.product.module}.weight"

    def constant(self, suffix: str, array: NDArray[np.generic]) -> ir.Value:
        name = f"{self.name}_{suffix}"
        if name not in self.graph.initializers:
            tensor = ir.tensor(array, name=name)
            value = ir.Value(
                name=name,
                shape=ir.Shape(array.shape),
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
            )
            self.graph.register_initializer(value)
        return self.graph.initializers[name]

    def before(self, operator: str, *inputs: ir.Value | None, **attributes: int) -> ir.Value:
        """Insert a node before the product and return its output."""
        node = ir.node(operator, inputs=inputs, attributes=attributes)
        node.outputs[0].name = f"{self.product.node.name}_{operator}"
        self.graph.insert_before(self.product.node, node)
        return node.outputs[0]

    def replace(self, node: ir.Node) -> None:
        """Put `node` in the product's place."""
        old = self.product.node
        node.name, node.outputs[0].name = old.name, old.outputs[0].name
        node.outputs[0].shape, node.outputs[0].type = old.outputs[0].shape, old.outputs[0].type
        ir.convenience.replace_nodes_and_values(
            self.graph, old, [old], [node], old.outputs, node.outputs
        )


def _write_int4(rewrite: _Rewrite, chosen: LanguagePrecision, seen: Observations) -> None:
    matrix = rewrite.product.matrix()
    curvature = seen.curvature(rewrite.product.module)
    coded = to_int4(rewrite.name, matrix, chosen.block, chosen.rounding, curvature)
    codes = rewrite.constant("codes", coded.codes.numpy().astype(ml_dtypes.int4))
    scales = rewrite.constant("scales", coded.scales.numpy())
    weight = rewrite.before("DequantizeLinear", codes, scales, axis=0, block_size=chosen.block)
    rewrite.product.node.replace_input_with(1, weight)


def _write_nf4(rewrite: _Rewrite, _: LanguagePrecision, __: Observations) -> None:
    matrix = rewrite.product.matrix()
    rows, columns = matrix.shape
    packed, scales = _bitsandbytes_nf4(matrix.T.contiguous())
    codes, scale = rewrite.constant("nf4", packed), rewrite.constant("absmax", scales)
    attributes = {"K": rows, "N": columns, "block_size": NF4_BLOCK, "quant_type": 1}
    rewrite.replace(
        ir.node(
            "MatMulBnb4", domain="com.microsoft", attributes=attributes,
            inputs=[rewrite.product.node.inputs[0], codes, scale],
        )
    )  # fmt: skip
    rewrite.graph.opset_imports.setdefault("com.microsoft", 1)


def _bitsandbytes_nf4(matrix: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a matrix [N, K] as packed NF4 codes and each block's largest magnitude, both flat."""
    try:
        from bitsandbytes.functional import quantize_4bit
    except ImportError as error:
        raise OptionError(
            "NF4 is written by bitsandbytes, which is not installed",
            expected="bitsandbytes",
            found=str(error),
            cure='pip install "ftsdk[nf4]", or pass --language int4',
        ) from error
    packed, state = quantize_4bit(matrix, blocksize=NF4_BLOCK, quant_type="nf4")
    return packed.numpy().reshape(-1), state.absmax.float().numpy()


def _write_float16(rewrite: _Rewrite, _: LanguagePrecision, seen: Observations) -> None:
    matrix = rewrite.product.matrix()
    limit = torch.finfo(torch.float16).max / _HEADROOM
    peak = max(float(matrix.abs().max()), seen.peak(rewrite.product.module))
    if peak > limit:
        return
    node = rewrite.product.node
    weight = rewrite.constant("float16", matrix.half().numpy())
    tokens = rewrite.before("Cast", node.inputs[0], to=int(ir.DataType.FLOAT16))
    product = rewrite.before("MatMul", tokens, weight)
    rewrite.replace(ir.node("Cast", inputs=[product], attributes={"to": int(ir.DataType.FLOAT)}))


_Writer = Callable[[_Rewrite, LanguagePrecision, Observations], None]
_WRITERS: dict[Precision, _Writer] = {
    "int4": _write_int4,
    "nf4": _write_nf4,
    "float16": _write_float16,
}
