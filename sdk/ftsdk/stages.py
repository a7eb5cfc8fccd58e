"""The bundle's graphs, loaded, and run by stage name over a dictionary of named tensors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ftsdk.bundle import Bundle
from ftsdk.cache import PictureCache
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.contract import DeviceTensor, Engine, Tensor, Tensors
from ftsdk.engines.cuda_preprocess import CudaPreprocessing, load_kernels
from ftsdk.engines.device_name import require_device_name
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine, load_runtime
from ftsdk.engines.plans import load_plans, was_built_for
from ftsdk.engines.tensorrt import cuda, load_tensorrt, runtime_name, this_gpu
from ftsdk.errors import (
    DeviceUnavailableError,
    EngineLoadError,
    NumericalError,
)
from ftsdk.imaging.preprocess import Preprocessing
from ftsdk.stopwatch import Stopwatch

TensorDict = dict[str, NDArray[np.generic]]
#: What an analysis knows so far; some of it only on the device.
Known = dict[str, Tensor]


#: Stages that see a few dozen rows, or one: their products are over before a second thread is
#: awake, unless the weights are large. Compare `ft-bench --threads 1` with `--threads 2`.
_FEW_ROWS, _SMALL_BYTES = ("qformer", "language_encoder", "language_decoder"), 16 << 20


class Stages:
    """Every graph of a bundle on one device.

    Args:
        bundle: a verified bundle.
        device: `cpu`, `cuda`, `cuda:N`, or `auto` (CUDA where it works, else the CPU).
        threads: threads inside one operator; 0 gives small stages one, and lets the runtime choose
            for the others.
        cache_bytes: how much of what they made of earlier pictures is kept.

    Raises:
        OptionError: another device name, or a negative size.
        DeviceUnavailableError: the device was asked for and cannot be used.
        EngineLoadError: the runtime refused a graph.
        EngineMismatchError, EngineCacheError: engines lie beside the bundle for this GPU and are
            of something else, or damaged.
    """

    def __init__(self, bundle: Bundle, device: str, threads: int, cache_bytes: int) -> None:
        require_device_name(device)
        self.cache = PictureCache(cache_bytes)
        self._entries = bundle.manifest.stages
        score = bundle.manifest.score
        self._read_here = {"region_logits", "mask_logits", score.tensor if score else ""}
        self._bundle = bundle
        self.runtime = ""
        self._preprocessing: Preprocessing | CudaPreprocessing = Preprocessing(
            **bundle.manifest.preprocessing.model_dump()
        )
        self.device, self._engines = self._load(device, threads)

    def _load(self, device: str, threads: int) -> tuple[str, dict[str, Engine]]:
        if device != "auto":
            return device, self._load_on(device, threads)
        try:
            return "cuda:0", self._load_on("cuda:0", threads)
        except (DeviceUnavailableError, EngineLoadError):
            return "cpu", self._load_on("cpu", threads)

    def _load_on(self, device: str, threads: int) -> dict[str, Engine]:
        if device in ("cuda", "cuda:0") and (plans := self._load_plans()):
            return plans
        self.runtime = f"onnxruntime {load_runtime().__version__}"
        return {
            name: OnnxRuntimeEngine(
                self._bundle.file(entry.graph), device, threads or self._threads(name)
            )
            for name, entry in self._entries.items()
        }

    def _threads(self, stage: str) -> int:
        """Return 1 for a small stage of few rows, else 0, the runtime's own choice."""
        small = self._bundle.manifest.graph_bytes(stage) < _SMALL_BYTES
        return int(small and stage in _FEW_ROWS)

    def _load_plans(self) -> dict[str, Engine]:
        """Return the engines that were built for the GPU that is here; none if none were."""
        if not EngineCache.beside(self._bundle).folder.is_dir():
            return {}
        trt = load_tensorrt()
        gpu = this_gpu(trt)
        if not was_built_for(self._bundle, gpu):
            return {}
        self.runtime = runtime_name(trt)
        kernels = load_kernels()
        plans = load_plans(self._bundle, gpu, trt, cuda())
        if kernels and isinstance(self._preprocessing, Preprocessing):
            self._preprocessing = CudaPreprocessing(self._preprocessing, kernels, cuda())
        return {**plans}

    def pixel_values(self, picture: NDArray[np.uint8]) -> Tensor:
        """Return what `Preprocessing.pixel_values` does, on the GPU where it was made there."""
        return self._preprocessing.pixel_values(picture)

    def __getitem__(self, stage: str) -> Engine:
        return self._engines[stage]

    def replace(self, engine: Callable[[str, Engine], Engine]) -> None:
        """Put `engine(stage, present engine)` in each stage's place, to measure or to compare."""
        self._engines = {name: engine(name, present) for name, present in self._engines.items()}

    def run(self, stage: str, tensors: Known, watch: Stopwatch, key: Hashable) -> None:
        """Run one stage on the tensors that it names and add its outputs to them.

        `key` stands for the content of its inputs: where it was seen before, the cache may answer.

        Raises:
            NumericalError: an output holds NaN or infinity. What stays on a device is not looked
                at; the answer and the words that follow from it are.
            AnalysisCancelledError: the time was up before, or the watch's cancellation came.
        """
        with watch.measure(stage):
            tensors |= self._make(stage, tensors, watch, key)

    def run_both(
        self, first: str, second: str, tensors: Known, watch: Stopwatch, key: Hashable
    ) -> None:
        """Run two stages as `run` does; on a GPU side by side, each in its engine's own stream.

        Where the second needs the first, or on a CPU, where both would share the cores, they run
        one after the other. The second's time is then what it took beyond the first's.
        """
        if self.device == "cpu" or not tensors.keys() >= set(self._entries[second].inputs):
            self.run(first, tensors, watch, key)
            self.run(second, tensors, watch, key)
            return
        watch.check()
        with ThreadPoolExecutor(1) as beside:
            made = beside.submit(self._make, second, {**tensors}, watch, key)
            self.run(first, tensors, watch, key)
            with watch.measure(second):
                tensors |= made.result()

    def _make(self, stage: str, tensors: Known, watch: Stopwatch, key: Hashable) -> Tensors:
        infer = partial(self.infer, stage, tensors, watch)
        return self.cache.get_or_make((stage, key), infer)

    def infer(self, stage: str, tensors: Mapping[str, Tensor], watch: Stopwatch) -> Tensors:
        """Return a stage's outputs; `run` without a measure of time, and without the cache."""
        inputs = {name: tensors[name] for name in self._entries[stage].inputs}
        outputs = self._engines[stage].infer(inputs, watch.cancellation)
        for name, value in outputs.items():
            if name in self._read_here or not isinstance(value, DeviceTensor):
                require_finite(stage, name, np.asarray(value))
        return outputs

    def close(self) -> None:
        """Free every graph and forget every picture."""
        self.cache.clear()
        for engine in self._engines.values():
            engine.close()
        if isinstance(self._preprocessing, CudaPreprocessing):
            self._preprocessing.close()


def require_finite(stage: str, name: str, value: NDArray[np.generic]) -> None:
    """Raise NumericalError if a float tensor holds NaN or infinity."""
    if value.dtype.kind != "f":
        return
    # A sum is NaN or infinite exactly when that is so, save for an overflow that is as wrong.
    with np.errstate(invalid="ignore"):
        total = np.sum(value, dtype=np.float64)
    if not np.isfinite(total):
        raise NumericalError(
            f"the stage {stage} produced numbers that mean nothing",
            expected=f"finite values in {name}",
            found="NaN or infinity",
            cure="run ft-analyze with --device cpu; if it persists, export the bundle again",
        )
