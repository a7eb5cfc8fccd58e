"""A bundle's engines on the device that was asked for: which runtime, and what it says it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from ftsdk.bundle import Bundle
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.contract import Engine
from ftsdk.engines.cuda_preprocess import CudaPreprocessing, load_kernels
from ftsdk.engines.device_name import require_device_name
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine, load_runtime, require_provider
from ftsdk.engines.plans import load_plans, was_built_for
from ftsdk.engines.preparing import graph_keys, load_prepared, prepare_graphs
from ftsdk.engines.provider import find_device, is_provider_device
from ftsdk.engines.session_options import many_rows
from ftsdk.engines.tensorrt import cuda, load_tensorrt, runtime_name, this_gpu
from ftsdk.errors import (
    BundleFileAlteredError,
    DeviceUnavailableError,
    EngineLoadError,
    OptionError,
)
from ftsdk.imaging.preprocess import Preprocessing
from ftsdk.machine import cores, release_freed_memory
from ftsdk.manifest import Manifest
from ftsdk.verified import BundleGraph

_log = logging.getLogger(__name__)
#: Stages that see a few dozen rows, or one: their products are over before a second thread is
#: awake, unless the weights are large. Compare `ft-bench --threads 1` with `--threads 2`.
_FEW_ROWS, _SMALL_BYTES = ("qformer", "language_encoder", "language_decoder"), 16 << 20


@dataclass(frozen=True)
class LoadedEngines:
    """What runs a bundle.

    Attributes:
        device: `cpu`, `cuda:N` or a provider's, such as `openvino:npu`.
        runtime: its name and full version.
        engines: by stage.
        preprocessing: makes `pixel_values`, on the GPU where kernels and plans are.
    """

    device: str
    runtime: str
    engines: Mapping[str, Engine]
    preprocessing: Preprocessing | CudaPreprocessing

    @classmethod
    def none(cls, manifest: Manifest) -> LoadedEngines:
        """Return no engine yet, on the host, for those who bring their own."""
        return cls("cpu", "", {}, _on_host(manifest))


def load_engines(bundle: Bundle, device: str, threads: int) -> LoadedEngines:
    """Load every graph of a bundle.

    Args:
        bundle: a verified bundle.
        device: `cpu`, `cuda`, `cuda:N`, an execution provider's (`openvino:npu`), or `auto` (CUDA
            where it works, else the CPU).
        threads: threads inside one operator; 0 gives small stages one, and lets the runtime choose
            for the others.

    Raises:
        OptionError: another device name, or fewer than no threads.
        DeviceUnavailableError: the device was asked for and cannot be used.
        EngineLoadError: the runtime refused a graph.
        EngineMismatchError, EngineCacheError: engines lie beside the bundle for this GPU and are
            of something else, or damaged.
    """
    require_device_name(device)
    _require_threads(threads)
    if device != "auto":
        return _load_on(bundle, device, threads)
    try:
        return _load_on(bundle, "cuda:0", threads)
    except (DeviceUnavailableError, EngineLoadError):
        return _load_on(bundle, "cpu", threads)


def _require_threads(threads: int) -> None:
    if isinstance(threads, int) and threads >= 0:
        return
    raise OptionError(
        "the number of threads is outside its range",
        expected="a whole number, 0 or more",
        found=repr(threads),
        cure="pass threads=0 to have it chosen by stage",
    )


def _load_on(bundle: Bundle, device: str, threads: int) -> LoadedEngines:
    if device in ("cuda", "cuda:0") and (built := _load_built(bundle, device)):
        return built
    runtime = load_runtime()
    said = f"onnxruntime {runtime.__version__}"
    if is_provider_device(device):
        found = find_device(device, runtime)
        device, said = found.name, f"{said}, {found}"
    else:
        require_provider(device)
    engines = _load_graphs(bundle, device, threads)
    if count := sum(engine.is_prepared for engine in engines.values()):
        said = f"{said}, {count} graphs prepared for this processor"
    return LoadedEngines(device, said, engines, _on_host(bundle.manifest))


def _load_graphs(bundle: Bundle, device: str, threads: int) -> dict[str, OnnxRuntimeEngine]:
    """Load every stage; side by side where none is large, or there twice meanwhile.

    A prepared graph's weights are mapped. The one that takes longest is begun with.
    """
    stages, weigh = bundle.manifest.stages, bundle.manifest.graph_bytes
    prepared = prepare_graphs(bundle) if device == "cpu" else {}

    def load(stage: str) -> OnnxRuntimeEngine:
        count = threads or _threads(bundle, stage)
        return _load_either(bundle, stage, device, count, prepared.get(stage))

    twice = max((weigh(stage) for stage in stages if stage not in prepared), default=0)
    beside = device == "cpu" and twice < _SMALL_BYTES
    order = sorted(stages, key=lambda stage: -weigh(stage) if stage in prepared else 0)
    with ThreadPoolExecutor(cores() if beside else 1) as pool:
        engines = dict(zip(order, pool.map(load, order), strict=True))
    release_freed_memory()
    return {stage: engines[stage] for stage in stages}


def load_graph(
    bundle: Bundle, stage: str, device: str, threads: int, profile: Path | None = None
) -> OnnxRuntimeEngine:
    """Load one stage as every analyzer does; see `OnnxRuntimeEngine`."""
    key = graph_keys(bundle).get(stage) if device == "cpu" else None
    prepared = load_prepared(bundle, key) if key else None
    return _load_either(bundle, stage, device, threads, prepared, profile)


def _load_either(
    bundle: Bundle,
    stage: str,
    device: str,
    threads: int,
    prepared: BundleGraph | None,
    profile: Path | None = None,
) -> OnnxRuntimeEngine:
    """Load a stage's prepared graph; the bundle's own where there is none, or it does not load."""
    if prepared:
        try:
            made = OnnxRuntimeEngine(prepared, device, threads, many_rows(stage), profile)
            bundle.unread.pop(bundle.manifest.stages[stage].graph, None)
            return made
        except (EngineLoadError, BundleFileAlteredError) as error:
            _log.warning("%s is loaded from the bundle: %s", stage, error)
    return OnnxRuntimeEngine(bundle.graph(stage), device, threads, many_rows(stage), profile)


def _on_host(manifest: Manifest) -> Preprocessing:
    return Preprocessing(**asdict(manifest.preprocessing))


def _threads(bundle: Bundle, stage: str) -> int:
    """Return 1 for a small stage of few rows, else 0, the runtime's own choice."""
    return int(stage in _FEW_ROWS and bundle.manifest.graph_bytes(stage) < _SMALL_BYTES)


def _load_built(bundle: Bundle, device: str) -> LoadedEngines | None:
    """Load the engines that were built for the GPU that is here; None if none were."""
    if not EngineCache.beside(bundle).has_plans():
        return None
    trt = load_tensorrt()
    gpu = this_gpu(trt)
    if not was_built_for(bundle, gpu):
        return None
    kernels = load_kernels()
    plans = load_plans(bundle, gpu, trt, cuda())
    bundle.forget_unread()
    preprocessing = _on_host(bundle.manifest)
    on_gpu = CudaPreprocessing(preprocessing, kernels, cuda()) if kernels else preprocessing
    return LoadedEngines(device, runtime_name(trt), plans, on_gpu)
