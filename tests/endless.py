"""Graphs that end only when they are stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from picture_files import save
from PIL import Image

#: A picture for which the encoder of `write_bundle` never ends.
WHITE = save(Image.fromarray(np.full((96, 80, 3), 255, np.uint8)), "PNG")
_TRIPS = 10**15
_OPSETS = [helper.make_opsetid("", 20)]


def loop_nodes(source: str, target: str, trips: str) -> list[onnx.NodeProto]:
    """Return nodes that copy `source` to `target`, after `trips` [] int64 rounds of nothing."""
    floats = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go", "on")]
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Abs", ["x"], ["y"])],
        "body", [count, flags[0], floats[0]], [flags[1], floats[1]],
    )  # fmt: skip
    return [helper.make_node("Loop", [trips, "", source], [target], body=body)]


def write_loop(path: Path) -> Path:
    """Write a graph of `x` [2] float32 and `trips` [] int64 to `result` [2], and return `path`."""
    x, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "result")
    )
    trips = helper.make_tensor_value_info("trips", TensorProto.INT64, [])
    graph = helper.make_graph(loop_nodes("x", "result", "trips"), "loop", [x, trips], [result])
    onnx.save(helper.make_model(graph, opset_imports=_OPSETS, ir_version=10), path)
    return path


def write_bundle(source: Path, root: Path) -> Path:
    """Copy a bundle to `root`, its vision encoder endless for a picture that is white all over."""
    shutil.copytree(source, root)
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    manifest["validity"] = {}  # a white picture shows no face
    name = manifest["stages"]["vision_encoder"]["graph"]
    model = onnx.load(root / name)
    constants = {"darkest": 1.0, "many": _TRIPS}
    model.graph.initializer.extend(
        helper.make_tensor(key, kind, [], [constants[key]])
        for key, kind in (("darkest", TensorProto.FLOAT), ("many", TensorProto.INT64))
    )
    for node in model.graph.node:
        node.input[:] = ["looped" if i == "pixel_values" else i for i in node.input]
    before = [
        helper.make_node("ReduceMin", ["pixel_values"], ["lowest"], keepdims=0),
        helper.make_node("Greater", ["lowest", "darkest"], ["is_white"]),
        helper.make_node("Cast", ["is_white"], ["white"], to=TensorProto.INT64),
        helper.make_node("Mul", ["white", "many"], ["trips"]),
        *loop_nodes("pixel_values", "looped", "trips"),
    ]
    after = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*before, *after])
    onnx.save(model, root / name)
    content = (root / name).read_bytes()
    manifest["files"][name] = {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (root / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return root
