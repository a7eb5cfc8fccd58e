"""Bundles with weights beside a graph, and files that are exchanged for others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import tiny_bundle
from onnx import TensorProto, helper, numpy_helper

GRAPH = "graphs/qformer.onnx"
SIZE = 4096


def by_rename(path: Path, content: bytes) -> None:
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


def weighted(tmp_path: Path) -> Path:
    """A bundle whose Q-Former has its weights, ones, beside it."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIZE]) for name in "xy")
    weights = numpy_helper.from_array(np.ones(SIZE, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    made = tmp_path / "made"
    made.mkdir()
    onnx.save(
        model, made / "qformer.onnx", save_as_external_data=True,
        location="qformer.onnx.data", size_threshold=16,
    )  # fmt: skip
    files = {f"graphs/{path.name}": path.read_bytes() for path in made.iterdir()}
    return tiny_bundle.write(tmp_path / "tiny.bundle", files=files)
