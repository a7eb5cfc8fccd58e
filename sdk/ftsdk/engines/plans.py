"""A bundle's engines for the GPU that is here, all of them or none."""

from __future__ import annotations

from typing import Any

from ftsdk.bundle import Bundle
from ftsdk.engines.cache import EngineCache, EngineKey, graph_sha256
from ftsdk.engines.profile import described, profile_of
from ftsdk.engines.tensorrt import TensorRtEngine, runtime_name


def engine_keys(bundle: Bundle, runtime: str, gpu: str) -> dict[str, EngineKey]:
    """Return what the engine of each stage is kept under."""
    profile = described(profile_of(bundle))
    return {
        stage: EngineKey(
            stage=stage,
            graph_sha256=graph_sha256(bundle, stage),
            runtime=runtime,
            gpu=gpu,
            precision=entry.precision,
            profile=profile,
        )
        for stage, entry in bundle.manifest.stages.items()
    }


def was_built_for(bundle: Bundle, gpu: str) -> bool:
    """Say whether any engine beside the bundle is for `gpu`, whatever its version."""
    records = EngineCache.beside(bundle).records()
    return any(record.key.gpu == gpu for record in records)


def load_plans(bundle: Bundle, gpu: str, trt: Any, cuda: Any) -> dict[str, TensorRtEngine]:
    """Load the engine of every stage, each verified before TensorRT sees it.

    Args:
        bundle: a verified bundle.
        gpu: the GPU that is here, as `this_gpu` names it.
        trt: `tensorrt` or `tensorrt_rtx`.
        cuda: `cuda.bindings.runtime`.

    Raises:
        EngineMissingError, EngineMismatchError: a stage's was not built, or for something else.
        EngineCacheError: one is damaged.
        EngineLoadError: TensorRT refused one.
    """
    cache = EngineCache.beside(bundle)
    loaded: dict[str, TensorRtEngine] = {}
    try:
        for stage, key in engine_keys(bundle, runtime_name(trt), gpu).items():
            loaded[stage] = TensorRtEngine(cache.load(key), stage, trt, cuda)
    except BaseException:
        for engine in loaded.values():
            engine.close()
        raise
    return loaded
