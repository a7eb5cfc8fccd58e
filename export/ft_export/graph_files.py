"""An exported graph on disk: read with its weights left there, written one weight at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

#: A graph whose weights exceed this keeps them in a file beside it, which a runtime maps into
#: memory; protobuf, besides, ends at 2 GiB.
INLINE_BYTES = 1 << 28
#: Where torch notes the modules that a node is of.
SCOPES = "pkg.torch.onnx.name_scopes"


def load_graph(path: Path) -> ir.Model:
    """Read a graph; the weights of a large one stay in its file until they are asked for."""
    return ir.load(path)


def save_graph(model: ir.Model, path: Path) -> None:
    """Write `model` at `path`, and weights of more than 256 MiB to `{name}.data` beside it."""
    size = sum(weight.nbytes for weight in _weights(model))
    ir.save(model, path, external_data=data_file(path).name if size > INLINE_BYTES else None)


def data_file(path: Path) -> Path:
    """Return where the weights of a large graph lie."""
    return path.with_name(f"{path.name}.data")


def remove_graph(path: Path) -> None:
    """Delete a graph and its weights."""
    path.unlink(missing_ok=True)
    data_file(path).unlink(missing_ok=True)


def layer_of(node: ir.Node) -> str:
    """Return the name of the torch module that a node is of, or its own without one."""
    # "['', 'block.0.attention.q', 'linear']": the module is the last but one.
    scopes = node.metadata_props.get(SCOPES, "").split("'")
    return scopes[-4] if len(scopes) > 3 and scopes[-4] else str(node.name)


def _weights(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            yield value.const_value
