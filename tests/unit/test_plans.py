"""Engines beside a bundle: taken for their GPU, all or none, and never in silence for another."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_gpu import GPU, a_gpu, keys, nano_with_engines
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRt, fake_plan

from ftsdk.analyzer import Analyzer
from ftsdk.bundle import Bundle
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.plans import load_plans, was_built_for
from ftsdk.errors import (
    DeviceUnavailableError,
    EngineCacheError,
    EngineLoadError,
    EngineMismatchError,
    EngineMissingError,
)
from ftsdk.trust import NANO

PICTURE = Path(__file__).parents[2] / "examples" / "pictures" / "portrait_forged.jpg"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return nano_with_engines(tmp_path)


def test_an_analyzer_on_cuda_uses_the_engines_and_says_so(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = a_gpu(monkeypatch, FakeTensorRt())
    with Analyzer(bundle.path, device="cuda") as on_gpu, Analyzer(device="cpu") as on_cpu:
        found, expected = on_gpu.analyze(PICTURE), on_cpu.analyze(PICTURE)
        assert memory.allocated > 0
        assert all(isinstance(tensor, np.ndarray) for tensor in found.image_tensors.values())
    assert found.provenance.runtime == "fake_tensorrt 1.0"
    assert found.provenance.device == "cuda"
    assert found.report == expected.report
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    gc.collect()
    assert memory.faults == []
    assert memory.held == {}


def test_a_newer_tensorrt_names_what_the_engines_were_built_with(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_gpu(monkeypatch, FakeTensorRt(version="2.0"))
    with pytest.raises(EngineMismatchError) as caught:
        Analyzer(bundle.path, device="cuda")
    assert "fake_tensorrt 2.0" in caught.value.expected
    assert "fake_tensorrt 1.0" in caught.value.found
    assert "--engines sm_89" in caught.value.cure


def test_engines_of_another_gpu_are_left_alone(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert was_built_for(bundle, GPU)
    assert not was_built_for(bundle, "sm_120")
    a_gpu(monkeypatch, FakeTensorRt(gpu="sm_120"))
    with pytest.raises(DeviceUnavailableError):
        Analyzer(bundle.path, device="cuda:0")


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_without_engines_the_device_is_onnx_runtime_s(device: str, tmp_path: Path) -> None:
    bundle = shutil.copytree(NANO, tmp_path / "nano.bundle")
    if device == "cpu":
        Analyzer(bundle, device=device).close()
        return
    with pytest.raises(DeviceUnavailableError):
        Analyzer(bundle, device=device)


def test_a_failure_on_the_way_closes_what_was_loaded(bundle: Bundle) -> None:
    memory, folder = FakeCuda(), EngineCache.beside(bundle).folder
    names = {stage: key.name for stage, key in keys(bundle).items()}  # type: ignore[attr-defined]
    plan = folder / f"{names['language_decoder']}.plan"
    whole = plan.read_bytes()
    for content in (b"", whole[:1], whole[: len(whole) // 2], whole[:-1]):
        plan.write_bytes(content)
        with pytest.raises(EngineCacheError):
            load_plans(bundle, GPU, FakeTensorRt(), memory)
        assert memory.allocated == 0
    plan.unlink()
    (folder / f"{names['language_decoder']}.json").unlink()
    with pytest.raises(EngineMissingError, match="language_decoder"):
        load_plans(bundle, GPU, FakeTensorRt(), memory)


def test_tensorrt_s_own_refusal_is_passed_on(bundle: Bundle) -> None:
    for stage, key in keys(bundle).items():
        graph = bundle.file(bundle.manifest.stages[stage].graph).read_bytes()
        EngineCache.beside(bundle).store(key, fake_plan(graph, gpu="sm_86"), 1.0)  # type: ignore[arg-type]
    with pytest.raises(EngineLoadError, match="sm_86"):
        load_plans(bundle, GPU, FakeTensorRt(), FakeCuda())
