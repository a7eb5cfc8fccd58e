"""An execution provider of another package is used where it answers as the CPU does.

Each stage runs the bundle's golden picture on both, from the CPU's tensors, so that a difference is
that stage's own. What runs with several faces or beams is compared with one and with two, since
providers have kernels of their own for other shapes. Several faces are looked at where the model
frames them.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ftsdk.bundle import Bundle
from ftsdk.cancellation import Cancellation
from ftsdk.chain import Chain
from ftsdk.consistency import MODEL_STAGES
from ftsdk.engines.cache import Acceptance, EngineCache
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensors, arrays
from ftsdk.engines.difference import GATE_FACTOR, Difference, device_limit, relative
from ftsdk.engines.loading import LoadedEngines, load_engines, load_graph
from ftsdk.engines.provider import is_provider_device
from ftsdk.errors import EngineAnswerError, EngineCacheError, EngineRunError, FtsdkError
from ftsdk.imaging.decode import decode
from ftsdk.language.decoder import StepDecoder, side_by_side
from ftsdk.language.generate import generate
from ftsdk.language.options import Language
from ftsdk.machine import drivers
from ftsdk.manifest import LanguageEntry
from ftsdk.stages import Stages
from ftsdk.stopwatch import Stopwatch

#: How long a text is compared.
_TEXT = Language(max_new_tokens=8)


def load_accepted(bundle: Bundle, device: str, threads: int) -> LoadedEngines:
    """Load a bundle's engines as `load_engines` does; a provider's have to answer as the CPU does.

    That takes three analyses of the golden picture; the CPU's stages are in memory one at a time.
    That it was accepted is noted beside the bundle, where that can be written, and the next load
    compares again only what differs: bundle, runtime, provider, hardware, drivers or threads.

    Raises:
        EngineAnswerError: a tensor differs from the CPU's by more than the device may bring.
        OptionError, EngineError: as `load_engines` raises them.
    """
    loaded = load_engines(bundle, device, threads)
    if is_provider_device(loaded.device):
        try:
            _accept(bundle, loaded, threads)
        except FtsdkError:
            for engine in loaded.engines.values():
                engine.close()
            raise
    return loaded


def _accept(bundle: Bundle, loaded: LoadedEngines, threads: int) -> None:
    """Compare a provider with the CPU, unless that was done and nothing has changed since."""
    cache, known = EngineCache.beside(bundle), drivers()
    if known is None:
        _require_as_on_cpu(bundle, loaded)
        return
    asked = Acceptance(
        bundle_sha256=bundle.sha256,
        runtime=loaded.runtime,
        device=loaded.device,
        threads=threads,
        drivers=known,
    )
    if cache.has_noted(asked):
        return
    _require_as_on_cpu(bundle, loaded)
    with suppress(EngineCacheError):  # not ours to write: it is compared at every load
        cache.note(asked)


def _require_as_on_cpu(bundle: Bundle, loaded: LoadedEngines) -> None:
    differences = compare_with_cpu(bundle, loaded)
    outside = [str(one) for one in differences if not one.within]
    if outside:
        raise EngineAnswerError(
            f"{bundle.manifest.name} answers something else on {loaded.device} by "
            f"{loaded.runtime} than on the CPU of this machine",
            expected="the golden picture's tensors of the CPU, within the limits",
            found=", ".join(outside[:8]),
            cure='upgrade the provider\'s package and its driver, or pass device="cpu"',
        )


def compare_with_cpu(bundle: Bundle, loaded: LoadedEngines) -> list[Difference]:
    """Return how far each stage's tensors are from the CPU's, over the golden picture.

    Names are `stage tensor`, with `x2` where there were two faces or beams.

    Raises:
        EngineError: a stage fails on either.
    """
    comparison = _Comparison(bundle, loaded)
    beside = {name: _Beside(name, comparison) for name in bundle.manifest.stages}
    runs = LoadedEngines("cpu", "", beside, loaded.preprocessing)
    chain, watch = Chain(bundle, Stages(bundle.manifest, runs)), Stopwatch()
    picture = decode(bundle.read(bundle.manifest.golden_picture))
    tensors = chain.start(chain.frame(picture).pixels)
    for stage in (*MODEL_STAGES,)[:-1]:
        tensors = chain.advance(stage, tensors, chain.stages.infer(stage, tensors, watch))
    _compare_words(chain, bundle.manifest.language, comparison, arrays(tensors))
    return comparison.differences


class _Comparison:
    """The differences so far, and how each stage is run on either side."""

    def __init__(self, bundle: Bundle, loaded: LoadedEngines) -> None:
        self._bundle, self._loaded = bundle, loaded
        self.several = bundle.manifest.framing == "face"
        self.differences: list[Difference] = []

    def on_cpu(self, stage: str) -> Engine:
        """Return a stage on the CPU; the caller closes it."""
        return load_graph(self._bundle, stage, "cpu", threads=0)

    def there(self, stage: str) -> Engine:
        """Return the stage that is to be accepted."""
        return self._loaded.engines[stage]

    def add(self, stage: str, found: Arrays, expected: Arrays, count: str = "") -> None:
        """Note the difference of each float tensor."""
        for name, wanted in expected.items():
            if wanted.dtype.kind == "f":
                limit = max(
                    device_limit(self._loaded.device), GATE_FACTOR * self._lowered(stage, name)
                )
                value = relative(found[name], wanted)
                self.differences.append(Difference(f"{stage} {name}{count}", value, limit))

    def _lowered(self, stage: str, tensor: str) -> float:
        """Return how far the exported precision is from float32 in this tensor."""
        gate = self._bundle.manifest.gate
        return max((g.relative for g in gate if (g.stage, g.tensor) == (stage, tensor)), default=0)


class _Beside(Engine):
    """A stage on the CPU, whose every call is compared with the other device's."""

    def __init__(self, stage: str, comparison: _Comparison) -> None:
        self._stage, self._comparison = stage, comparison

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        on_cpu, given = self._comparison.on_cpu(self._stage), arrays(inputs)
        there = self._comparison.there(self._stage)
        try:
            expected = arrays(on_cpu.infer(given, cancellation))
            self._comparison.add(self._stage, arrays(there.infer(given)), expected)
            if self._comparison.several and self._stage in MODEL_STAGES:
                halves = {name: np.divide(x, 2).astype(x.dtype) for name, x in given.items()}
                two = {name: np.concatenate((x, halves[name])) for name, x in given.items()}
                self._compare_two(there, two, arrays(on_cpu.infer(two)))
        finally:
            on_cpu.close()
        return expected

    def _compare_two(self, there: Engine, two: Arrays, expected: Arrays) -> None:
        try:
            found = arrays(there.infer(two))
        except EngineRunError:  # no room: such faces are run one by one
            return
        self._comparison.add(self._stage, found, expected, " x2")

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        raise NotImplementedError("words are compared by themselves")

    def close(self) -> None:
        """Nothing is kept open."""


def _compare_words(
    chain: Chain, entry: LanguageEntry, comparison: _Comparison, tensors: Arrays
) -> None:
    """Compare the logits of the CPU's own words: a beam, two, and where it can be two faces."""
    stage, steps = "language_decoder", _TEXT.max_new_tokens + 1
    on_cpu, there = comparison.on_cpu(stage), comparison.there(stage)
    cases: dict[str, tuple[Tensors, int]] = {"": (tensors, 1), " x2": (tensors, 2)}
    if entry.several_faces:
        cases[" of two faces"] = side_by_side(entry, [tensors, _shortened(tensors)]), 1
    try:
        ids = [*generate(chain.decoder(on_cpu, tensors, 1, steps), _TEXT)]
        expected = {
            count: _logits(chain.decoder(on_cpu, memory, beams, steps), ids)
            for count, (memory, beams) in cases.items()
        }
    finally:
        on_cpu.close()
    for count, (memory, beams) in cases.items():
        found = _logits(chain.decoder(there, memory, beams, steps), ids)
        comparison.add(stage, {"logits": found}, {"logits": expected[count]}, count)


def _shortened(tensors: Arrays) -> Arrays:
    """Return the encoder's keys and values without their last position."""
    return {
        name: value[..., :-1] if name.endswith("key") else value[:, :, :-1]
        for name, value in tensors.items()
        if ".encoder." in name
    }


def _logits(decoder: StepDecoder, ids: list[int]) -> NDArray[np.float32]:
    """Return the logits [T, rows, vocabulary] before each of `ids`."""
    before = [decoder.start_token, *ids[:-1]]
    return np.stack([decoder.step(np.full(decoder.rows, one)).copy() for one in before])
