"""The GPU that stands for a real one notices what a real one would not forgive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_graphs
from onnx import helper
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRt, fake_plan

from ftsdk.engines.device_memory import Block, Graph, Staged, Stream, allocate
from ftsdk.errors import EngineRunError

FLOAT = np.dtype(np.float32)


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def stream(cuda: FakeCuda) -> Stream:
    return Stream(cuda)


def staged(stream: Stream, *values: float) -> Staged:
    made = Staged(stream)
    made.write(np.array(values, np.float32))
    return made


def refused(cuda: FakeCuda, call: Callable[[], object], words: str) -> None:
    """Expect one more fault of these words."""
    known = len(cuda.faults)
    with pytest.raises(AssertionError, match=words):
        call()
    assert len(cuda.faults) == known + 1


def test_what_is_put_into_a_stream_happens_when_it_is_waited_for(stream: Stream) -> None:
    memory, result = staged(stream, 1, 2), np.zeros(2, np.float32)
    memory.upload(8)
    memory.write(np.array([3, 4], np.float32))  # too early
    memory.download(result)
    stream.synchronise()
    memory.read(result)
    np.testing.assert_array_equal(result, [3, 4])


def test_ordinary_memory_is_read_at_once(stream: Stream) -> None:
    memory, array = Staged(stream), np.array([1, 2], np.float32)
    stream.copy(memory.reserve(8), array.ctypes.data, 8, to_device=True)
    array[:] = 0
    result = np.zeros(2, np.float32)
    memory.download(result)
    stream.synchronise()
    memory.read(result)
    np.testing.assert_array_equal(result, [1, 2])


def test_memory_that_was_freed(cuda: FakeCuda, stream: Stream) -> None:
    block = Block(cuda, 8)
    address = block.address
    host = Block(cuda, 8, pinned=True)
    del block
    refused(cuda, lambda: stream.copy(address, host.address, 8, True), "not allocated, or no more")
    refused(cuda, lambda: cuda.cudaFree(address), "freed that is not allocated")
    refused(cuda, lambda: cuda.cudaFree(host.address), "by the wrong call")


def test_memory_beyond_its_end(cuda: FakeCuda, stream: Stream) -> None:
    block, host = Block(cuda, 8), Block(cuda, 16, pinned=True)
    refused(cuda, lambda: stream.copy(block.address, host.address, 16, True), "do not fit")
    refused(cuda, lambda: stream.copy(block.address + 4, host.address, 8, True), "do not fit")
    wide = Block(cuda, 32)
    refused(cuda, lambda: stream.copy(wide.address, host.address, 32, True), "do not fit")


def test_memory_freed_while_a_stream_uses_it(cuda: FakeCuda, stream: Stream) -> None:
    memory = staged(stream, 1)
    memory.upload(4)
    address = memory.address
    refused(cuda, lambda: cuda.cudaFree(address), "another stream still uses")
    stream.synchronise()
    del memory
    assert cuda.held == {"streams": 1}


def test_two_streams_that_do_not_wait_for_each_other(cuda: FakeCuda, stream: Stream) -> None:
    other, memory = Stream(cuda), staged(stream, 1)
    host = Block(cuda, 4, pinned=True)
    memory.upload(4)
    copy_out = (host.address, memory.address, 4, False)
    refused(cuda, lambda: other.copy(*copy_out), "another stream still uses")
    stream.synchronise()
    other.copy(*copy_out)
    refused(cuda, lambda: memory.upload(4), "another stream still uses")
    other.synchronise()
    memory.upload(4)
    stream.synchronise()


def test_a_result_read_before_it_is_there(cuda: FakeCuda, stream: Stream) -> None:
    tensor = allocate(cuda, {"y": (1,)}, {"y": FLOAT})["y"]
    host = Block(cuda, 4, pinned=True)
    stream.copy(tensor.address, host.address, 4, to_device=True)
    refused(cuda, lambda: np.asarray(tensor), "another stream still uses")
    stream.synchronise()
    assert np.isnan(np.asarray(tensor)).all()  # nobody had written anything


def captured(stream: Stream, memory: Staged, result: np.ndarray) -> Graph:
    def both_ways() -> None:
        memory.upload(result.nbytes)
        memory.download(result)

    memory.download(result)
    stream.synchronise()
    graph = stream.capture(both_ways)
    assert graph is not None
    return graph


def test_a_graph_does_again_what_was_captured(cuda: FakeCuda, stream: Stream) -> None:
    memory, result = staged(stream, 1), np.zeros(1, np.float32)
    graph = captured(stream, memory, result)
    for value in (5, 6):
        memory.write(np.array([value], np.float32))
        graph.launch(stream)
        stream.synchronise()
        memory.read(result)
        assert result == value
    assert cuda.launches == 2
    del graph
    assert "graphs" not in cuda.held


def test_a_graph_whose_memory_moved(cuda: FakeCuda, stream: Stream) -> None:
    memory, result = staged(stream, 1), np.zeros(1, np.float32)
    graph = captured(stream, memory, result)
    memory.write(np.zeros(100, np.float32))
    refused(cuda, lambda: graph.launch(stream), "memory was freed since")


def test_a_graph_whose_context_was_changed(cuda: FakeCuda, stream: Stream, tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "x"], ["y"])
    plan = small_graphs.write(tmp_path / "g.onnx", [node], {}, ["n"], ["n"]).read_bytes()
    runtime = FakeTensorRt().Runtime(None)
    context = runtime.deserialize_cuda_engine(fake_plan(plan)).create_execution_context()
    x, y = Block(cuda, 8), Block(cuda, 8)
    context.set_input_shape("x", (2,))
    context.set_tensor_address("x", x.address)
    context.set_tensor_address("y", y.address)

    def run() -> None:
        if not context.execute_async_v3(stream.handle):
            raise EngineRunError("refused", expected="", found="", cure="")

    assert stream.capture(run) is None, "a first run may not be captured"
    run()
    stream.synchronise()
    graph = stream.capture(run)
    assert graph is not None
    graph.launch(stream)
    stream.synchronise()
    context.set_input_shape("x", (1,))
    refused(cuda, lambda: graph.launch(stream), "context was changed since")
    context.set_input_shape("x", (3,))
    refused(cuda, run, "do not fit")


def test_a_call_that_waits_breaks_a_capture(cuda: FakeCuda, stream: Stream) -> None:
    memory = staged(stream, 1)
    calls: list[Callable[[], object]] = [
        lambda: Block(cuda, 4),
        stream.synchronise,
        lambda: stream.copy(memory.address, np.zeros(1).ctypes.data, 4, to_device=True),
    ]
    for call in calls:
        assert stream.capture(call) is None  # type: ignore[arg-type]
    graph = stream.capture(lambda: memory.upload(4))
    assert graph is not None
    assert cuda.faults == []


def test_what_nobody_gave_back_is_counted(cuda: FakeCuda, stream: Stream) -> None:
    memory, result = staged(stream, 1), np.zeros(1, np.float32)
    graph = captured(stream, memory, result)
    kinds = {"device blocks": 1, "pinned blocks": 1, "streams": 1, "graphs": 1}
    assert cuda.held == kinds
    del memory, graph
    stream.close()
    assert cuda.held == {}
    refused(cuda, lambda: stream.synchronise(), "destroyed")


def test_a_full_gpu(cuda: FakeCuda) -> None:
    small = FakeCuda(capacity=16)
    with pytest.raises(EngineRunError, match="cudaMalloc"):
        Block(small, 17)
    assert small.held == cuda.held == {}
