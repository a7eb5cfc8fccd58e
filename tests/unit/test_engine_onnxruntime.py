"""ONNX Runtime behind the engine contract."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from endless import write_loop
from onnx import TensorProto, helper

from ftsdk.analyzer import Analyzer
from ftsdk.cancellation import Cancellation
from ftsdk.engines import session_options
from ftsdk.engines.contract import DeviceTensor, Tensor, arrays
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.errors import (
    AnalysisCancelledError,
    DeviceUnavailableError,
    EngineLoadError,
    EngineRunError,
)
from ftsdk.machine import is_x86


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """total [2] = first [2] + second [2]"""
    first, second, total = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
        for name in ("first", "second", "total")
    )
    add = helper.make_node("Add", ["first", "second"], ["total"])
    made = helper.make_graph([add], "sum", [first, second], [total])
    path = tmp_path_factory.mktemp("graph") / "sum.onnx"
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    return path


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_infer_returns_outputs_by_name(graph: Path) -> None:
    outputs = OnnxRuntimeEngine(graph).infer({"first": vector(1, 2), "second": vector(3, 4)})
    assert [*outputs] == ["total"]
    np.testing.assert_array_equal(outputs["total"], vector(4, 6))


def test_a_binding_reads_and_writes_the_caller_s_memory(graph: Path) -> None:
    total, first, second = vector(0, 0), vector(1, 2), vector(3, 4)
    binding = OnnxRuntimeEngine(graph).bind({"first": first, "second": second}, {"total": total})
    binding.run({})
    np.testing.assert_array_equal(total, vector(4, 6))
    first[:] = 10
    binding.run({})
    np.testing.assert_array_equal(total, vector(13, 14))
    binding.run({"second": vector(0, 1)})
    np.testing.assert_array_equal(total, vector(10, 11))


def test_one_array_may_be_input_and_output(graph: Path) -> None:
    total = vector(1, 1)
    binding = OnnxRuntimeEngine(graph).bind(
        {"first": total, "second": vector(1, 2)}, {"total": total}
    )
    for _ in range(3):
        binding.run({})
    np.testing.assert_array_equal(total, vector(4, 7))


@pytest.mark.parametrize(
    "inputs",
    [
        {"first": vector(1, 2)},
        {"first": vector(1, 2), "second": vector(1)},
        {"first": vector(1, 2), "second": np.array([1, 2])},
        {"first": vector(1, 2), "second": vector(1, 2), "third": vector(1, 2)},
    ],
    ids=["missing", "misshapen", "another dtype", "unknown"],
)
def test_what_does_not_fit_is_an_error(graph: Path, inputs: dict[str, np.ndarray]) -> None:
    engine = OnnxRuntimeEngine(graph)
    with pytest.raises(EngineRunError, match=r"sum\.onnx"):
        engine.infer(inputs)
    with pytest.raises(EngineRunError):
        engine.bind(inputs, {"total": vector(0, 0)}).run({})


def test_a_closed_engine_says_so(graph: Path) -> None:
    engine = OnnxRuntimeEngine(graph)
    engine.close()
    engine.close()
    with pytest.raises(EngineRunError, match="closed"):
        engine.infer({})
    with pytest.raises(EngineRunError, match="closed"):
        engine.bind({}, {})


@pytest.mark.parametrize("content", [b"", b"no graph", None])
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineLoadError) as caught:
        OnnxRuntimeEngine(path)
    assert "broken.onnx" in caught.value.what
    assert caught.value.cure


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here"
)
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_a_device_that_is_not_there_is_not_replaced(graph: Path, device: str) -> None:
    with pytest.raises(DeviceUnavailableError) as caught:
        OnnxRuntimeEngine(graph, device)
    assert device in caught.value.what
    assert 'device="cpu"' in caught.value.cure


def test_a_graph_stops_in_its_middle_when_cancelled(tmp_path: Path) -> None:
    engine = OnnxRuntimeEngine(write_loop(tmp_path / "loop.onnx"))
    inputs = {"x": vector(1, 2), "trips": np.array(10**15)}
    cancellation = Cancellation()
    timer = threading.Timer(0.3, cancellation.cancel)
    timer.start()
    with pytest.raises(AnalysisCancelledError):
        engine.infer(inputs, cancellation)
    with pytest.raises(AnalysisCancelledError):
        engine.infer(inputs, cancellation)
    outputs = engine.infer(inputs | {"trips": np.array(3)}, Cancellation())
    np.testing.assert_array_equal(outputs["result"], vector(1, 2))


def test_a_failure_is_no_cancellation(graph: Path) -> None:
    with pytest.raises(EngineRunError):
        OnnxRuntimeEngine(graph).infer({}, Cancellation())


class OnDevice(OnnxRuntimeEngine):
    """Takes the way of a CUDA session on the CPU: results stay, states have memory of their own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.on_host, self.states = False, list[np.ndarray]()

    def value(self, tensor: Tensor, here: bool = False) -> Any:
        if not here:
            return super().value(tensor)
        self.states.append(np.array(tensor))
        return super().value(self.states[-1], here)


def test_results_stay_on_the_device_until_they_are_asked_for(graph: Path) -> None:
    engine = OnDevice(graph)
    total = engine.infer({"first": vector(1, 2), "second": vector(3, 4)})["total"]
    assert isinstance(total, DeviceTensor)
    assert (total.shape, total.dtype, total.nbytes) == ((2,), np.float32, 8)
    again = engine.infer({"first": total, "second": total})["total"]
    np.testing.assert_array_equal(again, vector(8, 12))
    np.testing.assert_array_equal(total, vector(4, 6))
    in_arrays = OnnxRuntimeEngine(graph).infer(arrays({"first": total, "second": again}))
    np.testing.assert_array_equal(in_arrays["total"], vector(12, 18))
    with pytest.raises(EngineRunError, match=r"sum\.onnx"):
        engine.infer({"first": total})


def test_a_state_on_the_device_is_read_by_the_next_run(graph: Path) -> None:
    engine, state = OnDevice(graph), vector(1, 1)
    step = engine.infer({"first": vector(1, 2), "second": vector(0, 0)})["total"]
    binding = engine.bind({"first": state, "second": step}, {"total": state})
    for _ in range(3):
        binding.run({})
    np.testing.assert_array_equal(state, vector(1, 1))
    np.testing.assert_array_equal(engine.states, [vector(4, 7)])
    binding.run({"second": vector(10, 10)})
    np.testing.assert_array_equal(engine.states, [vector(14, 17)])


def test_nano_writes_the_same_report_when_all_stays_on_the_device() -> None:
    picture = Path(__file__).parents[2] / "examples" / "pictures" / "portrait_forged.jpg"
    with Analyzer(device="cpu") as nano, Analyzer(device="cpu") as staying:
        files = {s: nano.bundle.file(e.graph) for s, e in nano.bundle.manifest.stages.items()}
        staying.stages.replace(lambda stage, _: OnDevice(files[stage]))
        expected, found = nano.analyze(picture), staying.analyze(picture)
        named = staying.trace(picture)
    assert found.report == expected.report
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert all(isinstance(value, np.ndarray) for value in found.image_tensors.values())
    assert isinstance(named["encoder_output"], np.ndarray)


@pytest.fixture(scope="module")
def four_bits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """y [rows, 32] = x [rows, 64] times int4 codes in blocks of 32, and what they stand for."""
    random = np.random.default_rng(0)
    codes = random.integers(-8, 8, (64, 32)).astype(ml_dtypes.int4)
    scales = random.uniform(0.5, 1, (2, 32)).astype(np.float32)
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
        for name, width in (("x", 64), ("y", 32))
    )
    constants = [
        helper.make_tensor("codes", TensorProto.INT4, codes.shape, codes.astype(np.int8)),
        helper.make_tensor("scales", TensorProto.FLOAT, scales.shape, scales),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "scales"], ["w"], axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    made = helper.make_graph(nodes, "product", [x], [y], constants)
    path = tmp_path_factory.mktemp("graph") / "four_bits.onnx"
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path
    )
    return path, codes.astype(np.float32) * np.repeat(scales, 32, axis=0)


@pytest.mark.parametrize("vnni", [True, False])
@pytest.mark.parametrize("many_rows", [True, False])
def test_many_rows_meet_four_bits_in_float32_where_eight_are_no_faster(
    four_bits: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch, many_rows: bool, vnni: bool
) -> None:
    monkeypatch.setattr(session_options, "has_vnni", lambda: vnni)
    path, weight = four_bits
    x = np.random.default_rng(1).normal(size=(40, 64)).astype(np.float32)
    found = OnnxRuntimeEngine(path, many_rows=many_rows).infer({"x": x})["y"]
    error = np.linalg.norm(found - x @ weight) / np.linalg.norm(x @ weight)
    exact = many_rows and not vnni and is_x86()
    assert error < 1e-6 if exact else 1e-4 < error < 1e-2
