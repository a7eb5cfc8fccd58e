"""Tensors that stay on the device, and steps that are replayed, on a GPU that forgives nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRt, fake_plan

from ftsdk.engines.contract import DeviceTensor
from ftsdk.engines.tensorrt import TensorRtEngine
from ftsdk.errors import EngineRunError


class CopyingCuda(FakeCuda):
    """Remembers the bytes of every copy."""

    def __init__(self, captures: bool = True) -> None:
        super().__init__(captures=captures)
        self.copied: list[int] = []

    def cudaMemcpyAsync(  # noqa: N802
        self, target: int, source: int, size: int, kind: int, handle: int
    ) -> tuple[int]:
        self.copied.append(size)
        return super().cudaMemcpyAsync(target, source, size, kind, handle)


@pytest.fixture
def cuda() -> Iterator[CopyingCuda]:
    cuda = CopyingCuda()
    yield cuda
    gc.collect()
    assert cuda.faults == []
    assert cuda.held == {}


@pytest.fixture(scope="module")
def plan() -> bytes:
    """next [m] = state [m] + sum of x [n]; seen = next - 1: a state that is kept, and shown."""
    shapes = {"state": ["m"], "x": ["n"], "next": ["m"], "seen": ["m"]}
    tensors = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"]),
        helper.make_node("Add", ["state", "sum"], ["next"]),
        helper.make_node("Sub", ["next", "one"], ["seen"]),
    ]
    ends = [tensors["state"], tensors["x"]], [tensors["next"], tensors["seen"]]
    graph = helper.make_graph(nodes, "step", *ends, [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return fake_plan(model.SerializeToString())


@pytest.fixture
def engine(plan: bytes, cuda: CopyingCuda) -> Iterator[TensorRtEngine]:
    engine = TensorRtEngine(plan, "step", FakeTensorRt(), cuda)
    yield engine
    engine.close()


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def bound(size: int) -> dict[str, np.ndarray]:
    return {name: np.zeros(size, np.float32) for name in ("next", "seen")}


def test_a_result_goes_to_the_next_run_without_a_copy(
    engine: TensorRtEngine, cuda: CopyingCuda
) -> None:
    first = engine.infer({"state": numbers(1, 2, 3), "x": numbers(10)})
    assert all(isinstance(tensor, DeviceTensor) for tensor in first.values())
    assert cuda.copied == [12, 4]
    second = engine.infer({"state": first["next"], "x": first["seen"]})
    assert cuda.copied == [12, 4]
    np.testing.assert_array_equal(second["next"], [44, 45, 46])
    np.testing.assert_array_equal(first["next"], [11, 12, 13])


def test_a_bound_result_is_not_copied_either(engine: TensorRtEngine, cuda: CopyingCuda) -> None:
    made = engine.infer({"state": numbers(1, 2), "x": numbers(3)})
    results, copies = bound(2), len(cuda.copied)
    binding = engine.bind({"state": made["next"], "x": made["seen"]}, results)
    assert len(cuda.copied) == copies
    del made
    binding.run({})
    np.testing.assert_array_equal(results["next"], [4 + 7, 5 + 7])


def test_a_result_outlives_its_engine(engine: TensorRtEngine, cuda: CopyingCuda) -> None:
    result = engine.infer({"state": numbers(1), "x": numbers(2)})["next"]
    engine.close()
    np.testing.assert_array_equal(np.asarray(result) + 1, [4])
    assert np.asarray(result) is not None
    del result
    assert cuda.allocated == 0


def steps(engine: TensorRtEngine, count: int) -> list[list[float]]:
    """Add 1, 2, 3, ... to a state that stays on the device, and return what each step shows."""
    state, results, x = numbers(0, 0), bound(2), numbers(0)
    binding = engine.bind({"state": state, "x": x}, {**results, "next": state})
    shown = []
    for number in range(1, count + 1):
        x[:] = number
        binding.run({"x": x})
        shown.append(results["seen"].tolist())
    return shown


def test_a_step_that_repeats_is_replayed_and_counts_the_same(
    engine: TensorRtEngine, cuda: CopyingCuda
) -> None:
    shown = steps(engine, 12)
    assert shown == [[n * (n + 1) / 2 - 1] * 2 for n in range(1, 13)]
    # The state has two places: each is run twice, the second time to be captured.
    assert cuda.launches == 12 - 4
    assert engine.capturable


def test_where_nothing_can_be_captured_the_steps_are_run(plan: bytes) -> None:
    cuda = CopyingCuda(captures=False)
    engine = TensorRtEngine(plan, "step", FakeTensorRt(), cuda)
    assert steps(engine, 12)[-1] == [77, 77]
    assert cuda.launches == 0
    assert not engine.capturable
    engine.close()
    assert (cuda.faults, cuda.held) == ([], {})


def test_another_shape_is_another_step_and_memory_that_moves_ends_replays(
    engine: TensorRtEngine, cuda: CopyingCuda
) -> None:
    results = bound(1)
    binding = engine.bind({"state": numbers(5), "x": numbers(0, 0)}, results)
    replays = []
    for length in (2, 2, 2, 1, 2, 1, 1, 2, 3, 2, 2, 2, 3, 3):
        before = cuda.launches
        binding.run({"x": np.ones(length, np.float32)})
        assert results["seen"] == 5 + length - 1
        replays.append(cuda.launches - before)
    # The first 3 needs larger memory: what was captured before it is gone.
    assert replays == [0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1, 0, 1]


def test_every_result_needs_a_place(engine: TensorRtEngine) -> None:
    with pytest.raises(EngineRunError) as caught:
        engine.bind({"state": numbers(5), "x": numbers(0)}, {"seen": numbers(0)})
    assert "next" in caught.value.expected


def test_two_reports_at_a_time_keep_their_states_apart(
    engine: TensorRtEngine, cuda: CopyingCuda
) -> None:
    states, one, shown = (numbers(0), numbers(100)), numbers(1), (bound(1), bound(1))
    bindings = [
        engine.bind({"state": state, "x": one}, {**results, "next": state})
        for state, results in zip(states, shown, strict=True)
    ]
    for _ in range(7):
        for binding in bindings:
            binding.run({"x": one})
    assert [float(results["seen"][0]) for results in shown] == [6, 106]
    assert cuda.launches == 2 * 3


def test_what_the_sdk_calls_is_in_nvidia_s_bindings() -> None:
    real = pytest.importorskip("cuda.bindings.runtime", reason="no cuda-bindings")
    names = [name for name in dir(FakeCuda) if name.startswith("cuda")]
    assert "cudaGraphLaunch" in names
    assert [name for name in names if not hasattr(real, name)] == []
    for enum in ("cudaMemcpyKind", "cudaStreamCaptureMode"):
        for member, value in vars(getattr(FakeCuda, enum)).items():
            assert int(getattr(getattr(real, enum), member)) == value
    assert real.cudaStreamNonBlocking == FakeCuda.cudaStreamNonBlocking
    assert real.cudaHostAllocDefault == FakeCuda.cudaHostAllocDefault
