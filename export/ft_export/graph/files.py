"""An exported graph on disk: read with its weights left there, written one weight at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from ftsdk.errors import BundlePathError

#: A graph whose weights exceed this keeps them in a file beside it, which a runtime maps into
#: memory; protobuf, besides, ends at 2 GiB.
INLINE_BYTES = 1 << 28
#: Where torch notes the modules that a node is of.
SCOPES = "pkg.torch.onnx.name_scopes"


def load_graph(path: Path) -> ir.Model:
    """Read a graph; the weights of a large one stay in its file until they are asked for.

    Raises:
        BundlePathError: the graph names another file of weights than the one beside it.
    """
    model = ir.load(path)
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = _beside(path, value.const_value)
    return model


def save_graph(model: ir.Model, path: Path) -> None:
    """Write `model` at `path`, and weights of more than 256 MiB to `{name}.data` beside it."""
    if sum(weight.nbytes for weight in _weights(model)) > INLINE_BYTES:
        ir.save(model, path, external_data=data_file(path).name)
        return
    # A large graph that became small still points at the file of its old weights.
    ir.save(ir.external_data.load_to_model(model), path)


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


class _WeightInFile(ir.ExternalTensor):
    """A weight of which nothing stays in memory once it was read.

    onnx_ir's own keeps what it mapped, and 4-bit numbers unpacked, as long as the graph is there.
    """

    def numpy(self) -> NDArray[Any]:
        """Return the numbers; they are mapped, or unpacked, as long as the array is used."""
        once = ir.ExternalTensor(
            self.location, self.offset, self.length, self.dtype, shape=self.shape, name=self.name
        )
        return once.numpy()


def _beside(path: Path, weight: ir.ExternalTensor) -> ir.ExternalTensor:
    """Return `weight` by its file's whole path.

    By a relative one onnx_ir refuses a file with two names, and bundles share files by hard links.
    """
    data = data_file(path)
    if weight.location != data.name:
        raise BundlePathError(
            f"the graph {path.name} keeps weights in another file",
            expected=data.name,
            found=str(weight.location)[:200],
            cure="export the bundle again",
        )
    return _WeightInFile(
        data, weight.offset, weight.length, weight.dtype, shape=weight.shape, name=str(weight.name)
    )


def _weights(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            yield value.const_value
