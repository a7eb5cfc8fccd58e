"""Where a check runs: on a GPU, or on the fake back end, which is labelled as such."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gpu.outcome import Figures, Skipped
from ftsdk.analyzer import Analyzer
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.doctor.hardware import cuda_gpus, has_cuda_bindings
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.contract import Engine
from ftsdk.engines.onnxruntime import load_runtime
from ftsdk.errors import DeviceUnavailableError, EngineNotInstalledError

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests"))  # the fakes of its `support`
FAKE = "the fake back end, on the host"
FAKE_GPU = "sm_89"


def gpu_or_none() -> str | None:
    """Return the first GPU in words; None where CUDA finds none."""
    try:
        return next(cuda_gpus(), None) if has_cuda_bindings() else None
    except DeviceUnavailableError:
        return None


def require_gpu() -> str:
    """Return the first GPU in words.

    Raises:
        Skipped: CUDA finds none.
    """
    gpu = gpu_or_none()
    if gpu is None:
        raise Skipped("no GPU that cuda-bindings finds")
    return gpu


@contextmanager
def opened(runtime: str, bundle: Path) -> Iterator[tuple[str, Analyzer, Figures]]:
    """Open a bundle, and yield where it runs, its analyzer and what opening it cost.

    Args:
        runtime: `cpu` or `cuda` (ONNX Runtime), or `tensorrt`, which builds engines first; without
            a GPU, it runs on the fake.
        bundle: a copy beside which engines may be built.

    Raises:
        Skipped: the runtime or its GPU is not here.
    """
    if runtime == "tensorrt" and gpu_or_none() is None:
        with _on_fake(bundle) as analyzer:
            yield FAKE, analyzer, {}
        return
    figures = _build(bundle) if runtime == "tensorrt" else {}
    device = "cpu" if runtime == "cpu" else "cuda:0"
    place = "the CPU" if runtime == "cpu" else require_gpu()
    if runtime == "cuda":
        _require_cuda_provider()
    with Analyzer(bundle, device=device, cache_bytes=0) as analyzer:
        yield f"{place}, {analyzer.stages.runtime}", analyzer, figures


def _require_cuda_provider() -> None:
    if "CUDAExecutionProvider" not in load_runtime().get_available_providers():
        raise Skipped("this ONNX Runtime has no CUDA; pip install 'ftsdk[gpu]' in its place")


def _build(path: Path) -> Figures:
    from ft_export.tensorrt.engines import THIS, build_engines

    try:
        built = [*build_engines(open_bundle(path), [THIS], lambda *_: None)]
    except EngineNotInstalledError as error:
        raise Skipped(f"no TensorRT: {error.found}") from error
    return {
        "build s": round(sum(one.seconds for one in built), 1),
        "engines MB": round(sum(one.size for one in built) / 1e6, 1),
    }


@contextmanager
def _on_fake(path: Path) -> Iterator[Analyzer]:
    """Open a bundle whose engines are built, kept, verified and run by stand-ins for TensorRT."""
    from support.fake_cuda import FakeCuda
    from support.fake_tensorrt import FakeTensorRt, fake_plan

    from ftsdk.engines.plans import engine_keys, load_plans
    from ftsdk.engines.tensorrt import runtime_name

    bundle: Bundle = open_bundle(path)
    trt = FakeTensorRt(gpu=FAKE_GPU)
    for stage, key in engine_keys(bundle, runtime_name(trt), FAKE_GPU).items():
        graph = bundle.file(bundle.manifest.stages[stage].graph).read_bytes()
        EngineCache.beside(bundle).store(key, fake_plan(graph, gpu=FAKE_GPU), 0.0)
    plans = load_plans(bundle, FAKE_GPU, trt, FakeCuda())

    def take(stage: str, present: Engine) -> Engine:
        present.close()
        return plans[stage]

    with Analyzer(path, device="cpu", cache_bytes=0) as analyzer:
        analyzer.stages.replace(take)
        yield analyzer
