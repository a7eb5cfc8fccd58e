"""float16 with explicit casts: what is lowered, what is not, and that the interface stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import small_graphs
from onnx import TensorProto, helper

from ft_export.graph.files import load_graph, save_graph
from ft_export.graph.observe import peaks
from ft_export.precision.float16 import MAX_PEAK, to_float16
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine

RANDOM = np.random.default_rng(6)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """y = softmax(norm(x) @ a * c), and the product times the constant is large."""
    nodes = [
        helper.make_node("LayerNormalization", ["x", "one", "zero"], ["n"], name="norm"),
        helper.make_node("MatMul", ["n", "a"], ["p"], name="product"),
        helper.make_node("Mul", ["p", "c"], ["large"], name="scaling"),
        helper.make_node("Softmax", ["large"], ["s"], name="softmax"),
        helper.make_node("Mul", ["s", "half"], ["y"], name="halving"),
    ]
    constants = {
        "one": np.ones(8, np.float32),
        "zero": np.zeros(8, np.float32),
        "a": RANDOM.standard_normal((8, 8)).astype(np.float32),
        "c": np.array(20_000.0, np.float32),
        "half": np.array(0.5, np.float32),
    }
    return small_graphs.write(tmp_path / "g.onnx", nodes, constants, ["b", 3, 8], ["b", 3, 8])


@pytest.fixture
def x() -> np.ndarray:
    return RANDOM.standard_normal((2, 3, 8)).astype(np.float32)


def lowered(graph: Path, found: dict[str, float]) -> tuple[Path, list[str]]:
    model = load_graph(graph)
    kept = to_float16(model, found)
    save_graph(model, path := graph.with_name("half.onnx"))
    onnx.checker.check_model(path, full_check=True)
    return path, kept


def types(path: Path) -> dict[str, int]:
    graph = onnx.load(path).graph
    return {value.name: value.type.tensor_type.elem_type for value in graph.value_info}


def test_peaks_are_the_largest_magnitudes(graph: Path, x: np.ndarray, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = peaks(graph, scratch, [{"x": x}, {"x": -x}])
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    assert found["n"] == pytest.approx(np.abs(normed).max(), rel=1e-4)
    assert found["large"] == pytest.approx(2e4 * found["p"], rel=1e-4)
    assert [*scratch.iterdir()] == []


def test_an_operator_that_would_overflow_stays_float32_and_is_named(
    graph: Path, x: np.ndarray, tmp_path: Path
) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    found = peaks(graph, scratch, [{"x": x}])
    assert found["large"] > MAX_PEAK > found["p"]
    path, kept = lowered(graph, found)
    assert kept == ["scaling", "softmax"]
    kinds = types(path)
    assert kinds["p"] == TensorProto.FLOAT16
    assert kinds["large"] == kinds["s"] == kinds["n"] == TensorProto.FLOAT
    expected = OnnxRuntimeEngine(graph).infer({"x": x})["y"]
    result = OnnxRuntimeEngine(path).infer({"x": x})["y"]
    assert np.isfinite(result).all()
    assert result.dtype == np.float32
    assert np.abs(result - expected).max() < 0.5


def test_inputs_and_outputs_stay_float32_and_constants_are_halved(
    graph: Path, x: np.ndarray
) -> None:
    path, kept = lowered(graph, {})
    assert kept == []
    model = onnx.load(path).graph
    for value in (*model.input, *model.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    constants = {value.name: value.data_type for value in model.initializer}
    assert constants["a_float16"] == TensorProto.FLOAT16
    assert constants["one"] == TensorProto.FLOAT
    assert "a" not in constants
    assert [value.name for value in model.output] == ["y"]
    assert OnnxRuntimeEngine(path).infer({"x": x})["y"].shape == x.shape
