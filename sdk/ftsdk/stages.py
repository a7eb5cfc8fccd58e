"""A bundle's stages, run by name over named tensors."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ftsdk.cache import PictureCache
from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import DeviceTensor, Engine, GraphFacts, Tensor, Tensors, arrays
from ftsdk.engines.cuda_preprocess import CudaPreprocessing
from ftsdk.engines.device_name import on_processor
from ftsdk.engines.forked import ForkedEngine, end_at_once, never_free
from ftsdk.engines.loading import LoadedEngines
from ftsdk.errors import EngineRunError, NumericalError
from ftsdk.imaging.preprocess import Preprocessing
from ftsdk.manifest import Manifest
from ftsdk.stopwatch import Stopwatch

_log = logging.getLogger(__name__)


class Stages:
    """The stages of a bundle on one device; nothing that they are given is written to.

    Args:
        manifest: says what goes into each stage.
        loaded: what runs them.
        cache_bytes: how much of what they made of earlier pictures is kept.

    Raises:
        OptionError: a negative size.

    Attributes:
        device: `cpu`, `cuda:N` or a provider's, such as `openvino:npu`.
        runtime: name and full version of what runs them.
        cache: what was made of the last pictures.
    """

    def __init__(self, manifest: Manifest, loaded: LoadedEngines, cache_bytes: int = 0) -> None:
        self.device, self.runtime = loaded.device, loaded.runtime
        self.cache = PictureCache(cache_bytes)
        self._entries = manifest.stages
        score = manifest.score
        self._read_here = {"region_logits", "mask_logits", score.tensor if score else ""}
        self._engines, self._preprocessing = dict(loaded.engines), loaded.preprocessing
        self._on_host = asdict(manifest.preprocessing)
        _OPEN.add(self)

    def pixel_values(self, picture: NDArray[np.uint8]) -> Tensor:
        """Return `pixel_values` [1, 3, S, S] float32 of pixels [H, W, 3] uint8 BGR.

        It is on the GPU where it was made there; see `Preprocessing.pixel_values`.
        """
        return self._preprocessing.pixel_values(picture)

    def __getitem__(self, stage: str) -> Engine:
        return self._engines[stage]

    def __setitem__(self, stage: str, engine: Engine) -> None:
        self._engines[stage] = engine

    @property
    def facts(self) -> dict[str, GraphFacts]:
        """What the stages' graphs take and give, as far as that is known."""
        known = ((name, engine.facts) for name, engine in self._engines.items())
        return {name: facts for name, facts in known if facts}

    def replace(self, engine: Callable[[str, Engine], Engine]) -> None:
        """Put `engine(stage, present engine)` in each stage's place, to measure or to compare."""
        self._engines = {name: engine(name, present) for name, present in self._engines.items()}

    def run(self, stage: str, tensors: Tensors, watch: Stopwatch, key: Hashable) -> Tensors:
        """Return the outputs of one stage for those of `tensors` that it names.

        `key` stands for the content of its inputs: where it was seen before, the cache may answer.

        Raises:
            NumericalError: an output holds NaN or infinity. What stays on a device is not looked
                at; the answer and the words that follow from it are.
            AnalysisCancelledError: the time was up before, or the watch's cancellation came.
        """
        with watch.measure(stage):
            return self._make(stage, tensors, watch, key)

    def run_both(
        self, first: str, second: str, tensors: Tensors, watch: Stopwatch, key: Hashable
    ) -> Tensors:
        """Return the outputs of two stages as `run` does; on a GPU they run side by side.

        Where the second needs the first, or on a CPU, where both would share the cores, they run
        one after the other. The second's time is then what it took beyond the first's.
        """
        if on_processor(self.device) or not tensors.keys() >= set(self._entries[second].inputs):
            made = self.run(first, tensors, watch, key)
            return {**made, **self.run(second, {**tensors, **made}, watch, key)}
        watch.check()
        with ThreadPoolExecutor(1) as beside:
            waiting = beside.submit(self._make, second, tensors, watch, key)
            made = self.run(first, tensors, watch, key)
            with watch.measure(second):
                return {**made, **waiting.result()}

    def infer(self, stage: str, tensors: Tensors, watch: Stopwatch) -> Tensors:
        """Return what `run` does, neither timed nor kept."""
        inputs = {name: tensors[name] for name in self._entries[stage].inputs}
        outputs = self._in_batch(stage, inputs, watch.cancellation)
        for name, value in outputs.items():
            if name in self._read_here or not isinstance(value, DeviceTensor):
                require_finite(stage, name, np.asarray(value))
        return outputs

    def _in_batch(self, stage: str, inputs: Tensors, cancellation: Cancellation | None) -> Tensors:
        """Run a stage; a batch that fails, as for want of memory, runs one by one, with a warning.

        What fails in one row, too, raises that row's error.
        """
        engine, rows = self._engines[stage], _rows(inputs)
        try:
            return engine.infer(inputs, cancellation)
        except EngineRunError as error:
            if rows == 1:
                raise
            _log.warning("%s: %d at once failed, each runs by itself: %s", stage, rows, error.found)
        made = [arrays(engine.infer(_row(inputs, row), cancellation)) for row in range(rows)]
        return {name: np.concatenate([one[name] for one in made]) for name in made[0]}

    def _make(self, stage: str, tensors: Tensors, watch: Stopwatch, key: Hashable) -> Tensors:
        return self.cache.get_or_make((stage, key), partial(self.infer, stage, tensors, watch))

    def leave_to_parent(self) -> None:
        """In a forked child: neither use nor free what the parent loaded, nor its locks."""
        self.cache = PictureCache(0)
        self.replace(lambda _, engine: ForkedEngine(engine))
        never_free(self._preprocessing)
        self._preprocessing = Preprocessing(**self._on_host)

    def close(self) -> None:
        """Free every graph and forget every picture."""
        self.cache.clear()
        for engine in self._engines.values():
            engine.close()
        if isinstance(self._preprocessing, CudaPreprocessing):
            self._preprocessing.close()


def _leave_all() -> None:
    for stages in list(_OPEN):
        stages.leave_to_parent()
    if _OPEN:
        end_at_once()


_OPEN: weakref.WeakSet[Stages] = weakref.WeakSet()
os.register_at_fork(after_in_child=_leave_all)


def _rows(inputs: Tensors) -> int:
    """Return how many faces are in a batch: 1 unless every input has as many rows."""
    counts = {tensor.shape[0] if tensor.shape else 1 for tensor in inputs.values()}
    return counts.pop() if len(counts) == 1 else 1


def _row(inputs: Tensors, row: int) -> Tensors:
    return {name: np.asarray(tensor)[row : row + 1] for name, tensor in inputs.items()}


def require_finite(stage: str, name: str, value: NDArray[np.generic]) -> None:
    """Raise NumericalError if a tensor [...] of floats holds NaN or infinity."""
    if value.dtype.kind == "f" and not _all_finite(value):
        raise NumericalError(
            f"the stage {stage} produced numbers that mean nothing",
            expected=f"finite values in {name}",
            found="NaN or infinity",
            cure="run ft-analyze with --device cpu; if it persists, export the bundle again",
        )


def _all_finite(value: NDArray[np.generic]) -> bool:
    # What holds such a value has no finite sum; a sum that overflows has to be looked into.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(value.sum()) or np.isfinite(value).all())
