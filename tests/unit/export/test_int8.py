"""INT8 products: which, how exactly, and how ONNX Runtime runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import small_graphs
from onnx import helper

from ft_export.graph.files import load_graph, save_graph
from ft_export.precision.int8 import column_scales, find_products, to_int8
from ft_export.precision.language import LanguagePrecision, lower_language
from ft_export.precision.lowering import observe_ranges, run
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine

WIDTH, OUT = 96, 64
RANDOM = np.random.default_rng(5)


def weight(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """y = (x @ a + x @ b) @ tiny: two products of one tensor, and one too small to lower."""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["xa"], name="first"),
        helper.make_node("MatMul", ["x", "b"], ["xb"], name="second"),
        helper.make_node("Add", ["xa", "xb"], ["sum"]),
        helper.make_node("MatMul", ["sum", "tiny"], ["y"], name="tiny"),
    ]
    constants = {"a": weight(WIDTH, OUT), "b": weight(WIDTH, OUT), "tiny": weight(OUT, 4)}
    return small_graphs.write(
        tmp_path / "g.onnx", nodes, constants, ["batch", 7, WIDTH], ["batch", 7, 4]
    )


def lowered(graph: Path, limit: float) -> Path:
    model = load_graph(graph)
    to_int8(model, find_products(model), {"x": limit})
    save_graph(model, path := graph.with_name("int8.onnx"))
    return path


def test_only_large_products_of_many_rows_are_found(graph: Path, tmp_path: Path) -> None:
    found = find_products(load_graph(graph))
    assert [(product.layer, product.activation) for product in found] == [
        ("first", "x"),
        ("second", "x"),
    ]
    node = helper.make_node("MatMul", ["x", "a"], ["y"])
    constants = {"a": weight(WIDTH, OUT)}
    rows = small_graphs.write(tmp_path / "r.onnx", [node], constants, ["b", WIDTH], ["b", OUT])
    assert find_products(load_graph(rows)) == []


def test_lowered_products_are_near_float32_and_their_weights_are_gone(graph: Path) -> None:
    x = RANDOM.standard_normal((2, 7, WIDTH)).astype(np.float32)
    path = lowered(graph, float(np.abs(x).max()))
    expected = OnnxRuntimeEngine(graph).infer({"x": x})["y"]
    found = OnnxRuntimeEngine(path).infer({"x": x})["y"]
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
    assert path.stat().st_size < 0.5 * graph.stat().st_size


def test_an_int4_weight_becomes_int8_and_nothing_of_it_is_left(graph: Path) -> None:
    x = RANDOM.standard_normal((2, 7, WIDTH)).astype(np.float32)
    model = load_graph(graph)
    lower_language(model, LanguagePrecision("int4"))
    assert [product.layer for product in find_products(model)] == ["first", "second"]
    save_graph(model, four := graph.with_name("int4.onnx"))
    eight = lowered(four, float(np.abs(x).max()))
    expected = OnnxRuntimeEngine(four).infer({"x": x})["y"]
    found = OnnxRuntimeEngine(eight).infer({"x": x})["y"]
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
    kinds = {value.dtype for value in load_graph(eight).graph.initializers.values()}
    assert ir.DataType.INT8 in kinds
    assert (
        sum(v.dtype == ir.DataType.INT4 for v in load_graph(eight).graph.initializers.values()) == 1
    )


def test_a_product_without_a_range_stays_float32(graph: Path) -> None:
    model = load_graph(graph)
    assert to_int8(model, find_products(model), {}) == []
    assert to_int8(model, find_products(model), {"x": 0.0}) == []


def test_onnx_runtime_multiplies_integers_also_where_products_share_a_tensor(graph: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(graph.with_name("optimised.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(lowered(graph, 4.0), options, providers=["CPUExecutionProvider"])
    found = small_graphs.operators(graph.with_name("optimised.onnx"))
    assert found.count("MatMulIntegerToFloat") == 2
    assert "DequantizeLinear" not in found


def test_integer_sums_do_not_overflow(tmp_path: Path) -> None:
    """All values at their largest: pairs of products exceed 16 bits."""
    node = helper.make_node("MatMul", ["x", "a"], ["y"])
    constants = {"a": np.ones((WIDTH, OUT), np.float32)}
    source = small_graphs.write(
        tmp_path / "g.onnx", [node], constants, ["batch", 7, WIDTH], ["batch", 7, OUT]
    )
    x = np.ones((1, 7, WIDTH), np.float32)
    found = OnnxRuntimeEngine(lowered(source, 1.0)).infer({"x": x})["y"]
    np.testing.assert_allclose(found, WIDTH, rtol=1e-5)


def test_each_column_has_its_own_scale_and_an_empty_one_has_no_harm() -> None:
    matrix = np.array([[1.0, 0.0, -254.0], [-0.5, 0.0, 12.7]], np.float32)
    np.testing.assert_allclose(column_scales(matrix), [1 / 127, 1.0, 2.0], rtol=1e-6)


def test_what_is_kept_of_a_run_holds_no_memory_of_its_session(graph: Path, tmp_path: Path) -> None:
    inputs = [{"x": RANDOM.standard_normal((2, 7, WIDTH)).astype(np.float32)}]
    (scratch := tmp_path / "scratch").mkdir()
    ranges, observed = observe_ranges(graph, scratch, inputs, "minmax")
    assert ranges["x"].limit == np.abs(inputs[0]["x"]).max()
    for outputs in (*observed, *run(graph, inputs).outputs):
        np.testing.assert_array_equal(outputs["y"], OnnxRuntimeEngine(graph).infer(inputs[0])["y"])
        assert outputs["y"].base is None
