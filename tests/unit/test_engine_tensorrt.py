"""TensorRT behind the engine contract, on a TensorRT and a CUDA runtime that need no GPU."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import small_graphs
from onnx import helper
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRt, fake_plan

from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.engines.contract import Engine
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.engines.tensorrt import TensorRtEngine, load_tensorrt
from ftsdk.errors import EngineLoadError, EngineNotInstalledError, EngineRunError
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.generate import generate
from ftsdk.language.options import Language
from ftsdk.trust import NANO

PICTURE = Path(__file__).parents[2] / "examples" / "pictures" / "portrait_forged.jpg"


@pytest.fixture
def cuda() -> Iterator[FakeCuda]:
    """A GPU that in the end was used well and holds nothing."""
    cuda = FakeCuda()
    yield cuda
    gc.collect()
    assert cuda.faults == []
    assert cuda.held == {}


@pytest.fixture
def plan(tmp_path: Path) -> bytes:
    """y = x + x"""
    node = helper.make_node("Add", ["x", "x"], ["y"])
    return fake_plan(small_graphs.write(tmp_path / "g.onnx", [node], {}, ["n"], ["n"]).read_bytes())


@pytest.fixture
def engine(plan: bytes, cuda: FakeCuda) -> Iterator[TensorRtEngine]:
    engine = TensorRtEngine(plan, "doubling", FakeTensorRt(longest=8), cuda)
    yield engine
    engine.close()


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_infer_copies_in_and_out_for_any_shape(engine: TensorRtEngine) -> None:
    for values in (vector(1, 2), vector(1, 2, 3, 4), vector(5)):
        np.testing.assert_array_equal(engine.infer({"x": values})["y"], 2 * values)
    columns = np.arange(12, dtype=np.float32).reshape(6, 2)[:, 0]
    np.testing.assert_array_equal(engine.infer({"x": columns})["y"], 2 * columns)


def test_what_the_plan_does_not_take_is_an_error(engine: TensorRtEngine) -> None:
    for x, found in ((np.zeros(9, np.float32), "[9]"), (np.zeros(2, np.int64), "int64")):
        with pytest.raises(EngineRunError) as caught:
            engine.infer({"x": x})
        assert found in caught.value.found
        assert "doubling" in caught.value.what
    np.testing.assert_array_equal(engine.infer({"x": vector(3)})["y"], [6])


def test_a_closed_engine_says_so_and_gives_its_memory_back(
    engine: TensorRtEngine, cuda: FakeCuda
) -> None:
    binding = engine.bind({"x": vector(1)}, {"y": vector(0)})
    y = engine.infer({"x": vector(1, 2)})["y"]
    assert cuda.allocated > 0
    engine.close()
    engine.close()
    with pytest.raises(EngineRunError, match="closed"):
        engine.infer({"x": vector(1)})
    with pytest.raises(EngineRunError, match="closed"):
        binding.run({})
    with pytest.raises(EngineRunError, match="closed"):
        engine.bind({}, {})
    np.testing.assert_array_equal(y, [2, 4])
    del y, binding
    gc.collect()
    assert cuda.held == {}


def test_a_full_gpu_is_named(plan: bytes) -> None:
    engine = TensorRtEngine(plan, "doubling", FakeTensorRt(), FakeCuda(capacity=16))
    with pytest.raises(EngineRunError, match="cudaMalloc"):
        engine.infer({"x": np.zeros(100, np.float32)})


def test_a_bound_pair_stays_on_the_device_and_feeds_the_next_run(
    engine: TensorRtEngine, cuda: FakeCuda
) -> None:
    state = vector(1, 2)
    binding = engine.bind({"x": state}, {"y": state})
    for _ in range(3):
        binding.run({})
    np.testing.assert_array_equal(state, [1, 2])
    result = vector(0, 0)
    watched = engine.bind({"x": vector(1, 2)}, {"y": result})
    watched.run({})
    np.testing.assert_array_equal(result, [2, 4])
    watched.run({"x": vector(5, 6)})
    np.testing.assert_array_equal(result, [10, 12])
    held = cuda.allocated
    del binding
    assert cuda.allocated < held


@pytest.mark.parametrize(
    ("version", "gpu"), [("1.1", "sm_89"), ("1.0", "sm_86")], ids=["version", "gpu"]
)
def test_a_plan_of_another_version_or_gpu_is_refused(
    plan: bytes, cuda: FakeCuda, version: str, gpu: str
) -> None:
    with pytest.raises(EngineLoadError) as caught:
        TensorRtEngine(plan, "doubling", FakeTensorRt(version, gpu), cuda)
    assert "--engines this" in caught.value.cure
    assert version in caught.value.found
    assert gpu in caught.value.found


@pytest.mark.parametrize("content", [b"", b"{}", b"no plan\nno graph"])
def test_what_is_no_plan_is_refused(cuda: FakeCuda, content: bytes) -> None:
    with pytest.raises(EngineLoadError, match="refused"):
        TensorRtEngine(content, "doubling", FakeTensorRt(), cuda)


def test_nano_writes_the_same_report_with_its_cache_on_the_device(cuda: FakeCuda) -> None:
    bundle = open_bundle(NANO)
    graph = bundle.file(bundle.manifest.stages["language_decoder"].graph)
    embeddings = TokenEmbeddings(bundle.read(bundle.manifest.language.token_embeddings))
    with Analyzer(device="cpu") as nano:
        trace = nano.trace(PICTURE)
    engine = TensorRtEngine(fake_plan(graph.read_bytes()), "decoder", FakeTensorRt(), cuda)

    def write(runtime: Engine, language: Language) -> list[int]:
        arguments = (embeddings, bundle.manifest.language, trace)
        beams = (language.beams, language.max_new_tokens)
        return list(generate(StepDecoder(runtime, *arguments, *beams), language))

    for language in (Language(max_new_tokens=12), Language(beams=3, max_new_tokens=8)):
        assert write(engine, language) == write(OnnxRuntimeEngine(graph), language)
    engine.close()


def test_the_first_tensorrt_that_is_installed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, shell = ModuleType("tensorrt_rtx"), ModuleType("tensorrt")
    whole.Builder = whole.Runtime = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", shell)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", whole)
    assert load_tensorrt() is whole
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(EngineNotInstalledError) as caught:
        load_tensorrt()
    assert "tensorrt: an empty package" in caught.value.found
    assert 'pip install "ftsdk[rtx]"' in caught.value.cure
