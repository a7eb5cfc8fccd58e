"""Devices, time and sanity around the graphs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.cancellation import Cancellation
from ftsdk.consistency import FACE_DETECTOR, MODEL_STAGES
from ftsdk.engines import loading
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensors, arrays
from ftsdk.engines.loading import load_engines
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.errors import (
    AnalysisCancelledError,
    AnalysisFailedError,
    DeviceUnavailableError,
    EngineLoadError,
    EngineRunError,
    NumericalError,
    OptionError,
)
from ftsdk.stages import require_finite
from ftsdk.stopwatch import Stopwatch
from ftsdk.trust import NANO
from ftsdk.verified import BundleGraph

NO_CUDA = "CUDAExecutionProvider" not in onnxruntime.get_available_providers()


@pytest.mark.parametrize(
    "device", ["gpu0", "", "cuda:", "cuda:x", "cuda:-1", "CPU", "cpu:0", "cuda:²"]
)
def test_what_is_no_device_is_refused_before_a_graph_is_loaded(
    mini_bundle: Path, device: str
) -> None:
    with pytest.raises(OptionError) as caught:
        Analyzer(mini_bundle, device=device)
    assert "cuda:0" in caught.value.expected
    assert caught.value.found == repr(device)


@pytest.mark.skipif(not NO_CUDA, reason="CUDA is here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_gpu_is_an_error(mini_bundle: Path, device: str) -> None:
    with pytest.raises(DeviceUnavailableError):
        Analyzer(mini_bundle, device=device)


@pytest.mark.skipif(not NO_CUDA, reason="CUDA is here")
def test_auto_says_what_it_chose(mini_bundle: Path, face: Path) -> None:
    with Analyzer(mini_bundle, device="auto") as analyzer:
        provenance = analyzer.analyze(face, report=False).provenance
    assert provenance.device == "cpu"
    assert provenance.runtime == f"onnxruntime {onnxruntime.__version__}"


def test_a_graph_that_the_runtime_refuses_is_an_error(tmp_path: Path) -> None:
    import tiny_bundle

    bundle = open_bundle(tiny_bundle.write(tmp_path))
    for device in ("cpu", "auto"):
        with pytest.raises(EngineLoadError, match=r"vision_encoder\.onnx"):
            load_engines(bundle, device, 1)


@pytest.mark.parametrize("asked", [0, 2])
def test_small_stages_of_few_rows_get_one_thread_unless_asked(
    monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    given: dict[str, int] = {}
    one_row: list[str] = []

    class Noting(OnnxRuntimeEngine):
        def __init__(
            self, graph: BundleGraph, device: str, threads: int, many_rows: bool, _: Path | None
        ) -> None:
            given[Path(graph.name).stem] = threads
            one_row.extend(() if many_rows else (Path(graph.name).stem,))
            super().__init__(graph, device, threads, many_rows)

    monkeypatch.setattr(loading, "OnnxRuntimeEngine", Noting)
    for engine in load_engines(open_bundle(NANO), "cpu", asked).engines.values():
        engine.close()
    few = {"qformer", "language_encoder", "language_decoder"}
    assert given == {stage: asked or int(stage in few) for stage in (*MODEL_STAGES, FACE_DETECTOR)}
    assert one_row == ["language_decoder"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_value_that_is_no_number_is_seen_anywhere(bad: float, dtype: type) -> None:
    values = np.zeros((3, 50, 7), dtype)
    require_finite("qformer", "qformer_output", values)
    values[2, 31, 4] = bad
    with pytest.raises(NumericalError) as caught:
        require_finite("qformer", "qformer_output", values)
    assert "qformer" in caught.value.what
    assert "qformer_output" in caught.value.expected


def test_opposite_infinities_do_not_cancel_out() -> None:
    with pytest.raises(NumericalError):
        require_finite("qformer", "x", np.array([np.inf, -np.inf], np.float32))


def test_integers_and_large_numbers_pass() -> None:
    require_finite("qformer", "x", np.array([1 << 60]))
    require_finite("qformer", "x", np.full(1000, 3e38, np.float32))


def test_a_stopwatch_adds_up() -> None:
    watch = Stopwatch()
    for step in ("a", "b", "a"):
        with watch.measure(step):
            pass
    timings = watch.timings()
    assert [*timings] == ["a", "b", "total"]
    assert timings["total"] == pytest.approx(timings["a"] + timings["b"])


def test_a_stopwatch_counts_a_step_that_fails() -> None:
    watch = Stopwatch()
    with pytest.raises(AnalysisFailedError), watch.measure("a"):
        _ = 1 / 0
    assert "a" in watch.timings()


def test_patience_ends() -> None:
    watch = Stopwatch(timeout=0.0)
    with pytest.raises(AnalysisCancelledError) as caught, watch.measure("a"):
        pytest.fail("a step began after the time was up")
    assert "0 s" in caught.value.expected
    assert caught.value.cure
    Stopwatch(timeout=60).check()
    Stopwatch(None).check()


def test_a_stopwatch_stops_when_the_analysis_is_given_up() -> None:
    cancellation = Cancellation()
    watch = Stopwatch(60, cancellation)
    with watch.measure("a"):
        cancellation.cancel()
    with pytest.raises(AnalysisCancelledError, match="cancelled"), watch.measure("b"):
        pytest.fail("a step began after the analysis was given up")
    assert [*watch.timings()] == ["a", "total"]


def test_a_stopwatch_ends_a_step_under_way() -> None:
    mine, ended = Cancellation(), threading.Event()

    def step() -> None:
        with watch.measure("a"), watch.cancellation.calling(ended.set):
            assert ended.wait(30)
            raise OSError

    with Stopwatch(0.1, mine) as watch, pytest.raises(AnalysisCancelledError, match="time-out"):
        step()
    assert not mine.cancelled
    with Stopwatch(1e300, mine) as watch, watch.cancellation.calling(ended.clear):
        mine.cancel()
        assert not ended.is_set()
    with pytest.raises(AnalysisCancelledError, match="cancelled"):
        watch.check()


class Meeting(Engine):
    """An engine that waits until another one is called too."""

    def __init__(self, engine: Engine, barrier: threading.Barrier) -> None:
        self.engine, self.barrier = engine, barrier

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        self.barrier.wait(60)
        return self.engine.infer(inputs, cancellation)

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        return self.engine.bind(inputs, outputs)

    def close(self) -> None:
        self.engine.close()


VISION = ("vision_encoder", "forgery_prompter")


@pytest.fixture
def on_a_gpu(mini_bundle: Path) -> Iterator[Analyzer]:
    """The miniature, whose prompter needs nothing of its vision encoder, as if on a GPU."""
    with Analyzer(mini_bundle, device="cpu", threads=1) as analyzer:
        analyzer.stages.device = "cuda:0"
        yield analyzer


def test_on_a_gpu_the_vision_stages_run_side_by_side(
    on_a_gpu: Analyzer, mini: Analyzer, face: Path
) -> None:
    barrier = threading.Barrier(2)
    on_a_gpu.stages.replace(lambda name, e: Meeting(e, barrier) if name in VISION else e)
    found, expected = (a.analyze(face, report=False) for a in (on_a_gpu, mini))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert {*VISION} < found.timings.keys()


@pytest.mark.parametrize("failing", VISION)
def test_a_failure_beside_another_stage_is_not_lost(
    on_a_gpu: Analyzer, face: Path, failing: str
) -> None:
    on_a_gpu.stages[failing].close()
    with pytest.raises(EngineRunError, match=failing):
        on_a_gpu.analyze(face, report=False)


def test_a_stage_that_needs_the_other_waits_for_it() -> None:
    picture = Path(__file__).parents[2] / "examples" / "pictures" / "portrait.jpg"
    with Analyzer(device="cpu") as nano:
        expected = nano.analyze(picture, report=False)
        nano.stages.device = "cuda:0"
        nano.stages.cache.clear()
        found = nano.analyze(picture, report=False)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_faces_in_a_batch_are_seen_as_alone() -> None:
    random = np.random.default_rng(0)
    faces = [
        {"pixel_values": random.normal(size=(1, 3, 384, 384)).astype(np.float32)} for _ in range(5)
    ]
    with Analyzer(device="cpu", threads=1, cache_bytes=0) as nano:
        together = nano.chain.look(faces, Stopwatch(), range(len(faces)))
        for face, seen in zip(faces, together, strict=True):
            alone = arrays(nano.chain.look([face], Stopwatch(), [None])[0])
            assert seen.keys() == alone.keys()
            for name, expected in alone.items():
                most = 1e-5 * max(1.0, float(np.abs(expected).max()))
                assert np.abs(np.asarray(seen[name]) - expected).max() <= most


def test_a_batch_that_fails_runs_one_by_one_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The embedded model's encoder on a device that holds one face."""
    with Analyzer(device="cpu") as analyzer:
        stage, encoder = "vision_encoder", analyzer.stages["vision_encoder"]
        pixels = np.random.default_rng(0).standard_normal((3, 3, 384, 384)).astype(np.float32)
        expected = arrays(encoder.infer({"pixel_values": pixels}))
        whole = encoder.infer

        def small(inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
            if inputs["pixel_values"].shape[0] > 1:
                raise EngineRunError("out of memory", expected="", found="no room", cure="")
            return whole(inputs, cancellation)

        monkeypatch.setattr(encoder, "infer", small)
        found = arrays(analyzer.stages.infer(stage, {"pixel_values": pixels}, Stopwatch()))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-3)
    assert "vision_encoder: 3 at once failed, each runs by itself: no room" in caplog.text
