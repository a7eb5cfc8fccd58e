"""A bundle of small graphs in the precisions that are prepared, and what they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import small_graphs
import tiny_bundle
from onnx import TensorProto, helper

from ftsdk.bundle import open_bundle
from ftsdk.engines.contract import Engine
from ftsdk.engines.loading import load_engines

#: An 8-bit product and a 4-bit one; each stage's `y` [rows, WIDTH] is of `x` [rows, WIDTH].
EIGHT, FOUR, WIDTH = "qformer", "language_decoder", 96
_NODE = helper.make_node


def write(root: Path) -> Path:
    """Write the bundle: those two stages, the others in float32, all of them a graph of one `x`."""
    made = root.with_name(f"{root.name}.made")
    made.mkdir(parents=True)
    eight, four, plain = _eight(made / "8.onnx"), _four(made / "4.onnx"), _plain(made / "f.onnx")
    graphs = dict.fromkeys(tiny_bundle.manifest()["stages"], plain) | {EIGHT: eight, FOUR: four}
    files = {f"graphs/{stage}.onnx": path.read_bytes() for stage, path in graphs.items()}
    return tiny_bundle.write(root, _lower, files)


def answers(root: Path) -> dict[str, np.ndarray]:
    """Return by stage what a bundle's engines make of the same rows, loaded anew."""
    loaded = load_engines(open_bundle(root), "cpu", 1)
    return {stage: answer(engine) for stage, engine in loaded.engines.items()}


def answer(engine: Engine) -> np.ndarray:
    """Return `y` of three rows of random numbers."""
    x = np.random.default_rng(4).standard_normal((3, WIDTH)).astype(np.float32)
    return np.asarray(engine.infer({"x": x})["y"])


def _lower(manifest: dict[str, Any]) -> None:
    manifest["stages"][EIGHT]["precision"] = "int8"
    manifest["stages"][FOUR] |= {"precision": "int4", "rounding": "nearest"}


def _plain(path: Path) -> Path:
    node = _NODE("Add", ["x", "one"], ["y"])
    one = np.ones(WIDTH, np.float32)
    return small_graphs.write(path, [node], {"one": one}, ["n", WIDTH], ["n", WIDTH])


def _eight(path: Path) -> Path:
    """y = quantised x times signed 8-bit weights, as `ft-export --encoders int8` writes it."""
    codes = np.random.default_rng(1).integers(-127, 128, (WIDTH, WIDTH)).astype(np.int8)
    scales = np.random.default_rng(2).uniform(0.01, 0.02, WIDTH).astype(np.float32)
    constants = {
        "codes": codes, "scales": scales, "zeros": np.zeros(WIDTH, np.int8),
        "scale": np.float32(0.03), "zero": np.int8(0),
    }  # fmt: skip
    nodes = [
        _NODE("QuantizeLinear", ["x", "scale", "zero"], ["xq"]),
        _NODE("DequantizeLinear", ["xq", "scale", "zero"], ["xd"]),
        _NODE("DequantizeLinear", ["codes", "scales", "zeros"], ["w"], axis=1),
        _NODE("MatMul", ["xd", "w"], ["p"]),
        _NODE("QuantizeLinear", ["p", "scale", "zero"], ["pq"]),
        _NODE("DequantizeLinear", ["pq", "scale", "zero"], ["y"]),
    ]
    return small_graphs.write(path, nodes, constants, ["n", WIDTH], ["n", WIDTH])


def _four(path: Path) -> Path:
    """y = x times 4-bit codes in blocks of 32."""
    random = np.random.default_rng(3)
    codes = random.integers(-8, 8, (WIDTH, WIDTH)).astype(np.int8)
    scales = random.uniform(0.5, 1, (WIDTH // 32, WIDTH)).astype(np.float32)
    nodes = [
        _NODE("DequantizeLinear", ["codes", "scales"], ["w"], axis=0, block_size=32),
        _NODE("MatMul", ["x", "w"], ["y"]),
    ]
    small_graphs.write(path, nodes, {"scales": scales}, ["n", WIDTH], ["n", WIDTH])
    model = onnx.load(path)
    four = helper.make_tensor("codes", TensorProto.INT4, codes.shape, codes)
    model.graph.initializer.append(four)
    onnx.save(model, path)
    return path
