"""nano with fake engines beside it, and the GPU that they are for."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRt, fake_plan

from ftsdk.bundle import Bundle, open_bundle
from ftsdk.engines import loading
from ftsdk.engines.cache import EngineCache, EngineKey
from ftsdk.engines.plans import engine_keys
from ftsdk.engines.tensorrt import runtime_name
from ftsdk.trust import NANO

GPU = "sm_89"


def nano_with_engines(folder: Path) -> Bundle:
    """Copy nano into `folder`, with fake engines of every stage beside it."""
    bundle = open_bundle(shutil.copytree(NANO, folder / "nano.bundle"))
    for stage, key in keys(bundle).items():
        graph = bundle.file(bundle.manifest.stages[stage].graph).read_bytes()
        EngineCache.beside(bundle).store(key, fake_plan(graph), 1.0)
    return bundle


def keys(bundle: Bundle) -> dict[str, EngineKey]:
    """Return the key of each stage's engine."""
    return engine_keys(bundle, runtime_name(FakeTensorRt()), GPU)  # type: ignore[arg-type]


def a_gpu(
    monkeypatch: pytest.MonkeyPatch, trt: FakeTensorRt, memory: FakeCuda | None = None
) -> FakeCuda:
    """Let the stages believe that there is a GPU with TensorRT."""
    memory = memory or FakeCuda()
    found = SimpleNamespace(major=int(trt.gpu[3]), minor=int(trt.gpu[4:]), name=b"")
    monkeypatch.setattr(loading, "load_tensorrt", lambda: trt)
    monkeypatch.setattr(loading, "this_gpu", lambda _: f"sm_{found.major}{found.minor}")
    monkeypatch.setattr(loading, "cuda", lambda: memory)
    return memory
