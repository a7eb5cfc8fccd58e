"""Building plans, on a TensorRT that needs no GPU: scratch memory, timings, and how far it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from exchanging import by_rename, weighted
from fake_builder import GIGABYTE, FakeBuildingTensorRt
from raising import raised
from rich.progress import Progress
from support.fake_cuda import FakeCuda

from ft_export.errors import EngineBuildError
from ft_export.tensorrt import engines
from ft_export.tensorrt.command import BuildBars
from ft_export.tensorrt.engines import Built, build_engines, build_plan
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.plans import load_plans
from ftsdk.errors import BundleFileAlteredError
from ftsdk.trust import NANO

GPU = "sm_89"
STAGES = 7


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(shutil.copytree(NANO, tmp_path / "nano.bundle"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that installs a fake TensorRT on a GPU, and returns it."""

    def install(trt: FakeBuildingTensorRt) -> FakeBuildingTensorRt:
        monkeypatch.setattr(engines, "load_tensorrt", lambda *_: trt)
        monkeypatch.setattr(engines, "this_gpu", lambda module: module.gpu)
        return trt

    return install


def build(bundle: Bundle) -> list[Built]:
    return [*build_engines(bundle, ["this"], lambda *_: None)]


def timings(bundle: Bundle) -> list[Path]:
    return [*EngineCache.beside(bundle).folder.glob("*.timings")]


def test_what_was_built_on_the_device_is_what_it_loads(bundle: Bundle, here: Any) -> None:
    trt = here(FakeBuildingTensorRt())
    assert [one.stage for one in build(bundle)] == [*bundle.manifest.stages]
    memory = FakeCuda()
    loaded = load_plans(bundle, GPU, trt, memory)
    assert {*loaded} == {*bundle.manifest.stages}
    for engine in loaded.values():
        engine.close()


def test_tensorrt_gets_the_bytes_that_were_hashed(bundle: Bundle, here: Any) -> None:
    """Whatever the file holds by then."""
    trt = here(FakeBuildingTensorRt())
    graph = bundle.file(bundle.manifest.stages["qformer"].graph)
    content = graph.read_bytes()
    graph.write_bytes(bytes(len(content)))
    build(bundle)
    assert content in trt.parsed
    assert bytes(len(content)) not in trt.parsed


def test_weights_beside_a_graph_are_those_that_were_hashed(tmp_path: Path, here: Any) -> None:
    trt = here(FakeBuildingTensorRt())
    target = engines.find_target("this")
    bundle = open_bundle(weighted(tmp_path))
    graph = bundle.graph("qformer")
    assert graph.weights
    assert build_plan(graph, {}, target, lambda *_: None, "qformer")

    def swap(*_: object) -> None:
        by_rename(graph.weights.path, bytes(graph.weights.seal.size))  # type: ignore[union-attr]

    raised(BundleFileAlteredError, lambda: build_plan(graph, {}, target, swap, "qformer"))
    assert trt.workspaces == [None, None]


def test_less_scratch_memory_is_tried_where_the_gpu_is_full(bundle: Bundle, here: Any) -> None:
    trt = here(FakeBuildingTensorRt(memory=GIGABYTE // 2))
    assert len(build(bundle)) == STAGES
    assert trt.workspaces == [*engines.WORKSPACES] * STAGES


def test_a_gpu_that_is_too_small_is_an_error_and_leaves_nothing(bundle: Bundle, here: Any) -> None:
    trt = here(FakeBuildingTensorRt(memory=1))
    with pytest.raises(EngineBuildError, match="out of memory") as caught:
        build(bundle)
    assert trt.workspaces == [*engines.WORKSPACES]
    assert "face_detector for sm_89" in caught.value.what
    assert [*EngineCache.beside(bundle).records()] == []


def test_what_a_build_learnt_helps_the_next_one(bundle: Bundle, here: Any) -> None:
    trt = here(FakeBuildingTensorRt())
    build(bundle)
    assert trt.timings == [b""] + [GPU.encode() + b"+" * n for n in range(1, STAGES)]
    (kept,) = timings(bundle)
    for plan in kept.parent.glob("qformer*"):
        plan.unlink()
    build(bundle)
    assert trt.timings[STAGES:] == [GPU.encode() + b"+" * STAGES]
    assert kept.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 31, b"\0" * 32 + b"sm_89+"])
def test_altered_timings_never_reach_tensorrt(bundle: Bundle, here: Any, damage: bytes) -> None:
    trt = here(FakeBuildingTensorRt())
    build(bundle)
    (kept,) = timings(bundle)
    kept.write_bytes(damage)
    for plan in kept.parent.glob("qformer*"):
        plan.unlink()
    build(bundle)
    assert trt.timings[-1] == b""


def test_timings_that_tensorrt_refuses_are_begun_afresh(bundle: Bundle, here: Any) -> None:
    trt = here(FakeBuildingTensorRt())
    name = f"{trt.__name__} {trt.__version__}"
    EngineCache.beside(bundle).store_timings(name, GPU, b"of a GPU that was here before")
    build(bundle)
    assert trt.timings[:2] == [b"", b"sm_89+"]


def test_each_gpu_and_version_has_its_own_timings(bundle: Bundle, here: Any) -> None:
    for version, gpu in (("1.0", "sm_86"), ("1.0", "sm_89"), ("2.0", "sm_89")):
        trt = here(FakeBuildingTensorRt(version=version, gpu=gpu))
        build(bundle)
        assert trt.timings[0] == b""
    assert len(timings(bundle)) == 3
    assert EngineCache.beside(bundle).clear() > 0
    assert not timings(bundle)


def test_tensorrt_rtx_times_nothing(bundle: Bundle, here: Any) -> None:
    trt = here(FakeBuildingTensorRt(name="tensorrt_rtx"))
    build(bundle)
    assert {*trt.timings} == {b""}
    assert not timings(bundle)


def test_the_bar_counts_bytes_and_leaves_out_what_was_there() -> None:
    with Progress(disable=True) as progress:
        bars = BuildBars(progress, {"small": 10, "large": 90}, targets=2)
        whole = progress.tasks[bars.whole]
        bars.built(Built("small", GPU, "float32", 1, seconds=0.0))
        assert (whole.completed, whole.total) == (0, 190)
        bars.step("large", "Building", 1, 3)
        assert (whole.completed, whole.total) == (30, 190)
        for stage in ("large", "small", "large"):
            bars.built(Built(stage, GPU, "float32", 1, seconds=1.0))
        assert whole.finished
