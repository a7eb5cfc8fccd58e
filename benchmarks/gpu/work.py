"""A bundle's answers on one runtime against float32 on the CPU, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.outcome import Failed, Figures
from benchmarks.gpu.place import FAKE, ROOT, opened, require_gpu
from benchmarks.gpu.variants import make_variant
from ftsdk.analyzer import Analyzer
from ftsdk.bench.run import WARM_UP, times
from ftsdk.bench.timed import Bench
from ftsdk.bundle import open_bundle
from ftsdk.decision import mask_overlap, predicted_mask, suspected_regions
from ftsdk.engines.difference import Difference, device_limit, relative
from ftsdk.language.options import Language
from ftsdk.machine import device_mib, host_peak_mib

PICTURES = tuple(sorted((ROOT / "examples" / "pictures").glob("*.jpg")))
#: Their relative differences are compared, the largest over the pictures.
TENSORS = ("region_logits", "image_embeds", "mask_logits", "qformer_output", "encoder_output")
#: Of every report that is compared or timed, at most.
TOKENS = 24
#: Timed analyses at most, and after how many seconds no more of them, nor of the warm-up, begin.
RUNS, SECONDS = 20, 15.0

Stored = Mapping[str, NDArray[Any]]


def kernel() -> tuple[str, Figures]:
    """Launch one small kernel."""
    gpu = require_gpu()
    from cuda.bindings import driver

    from ftsdk.doctor.kernel import launch_kernel

    return gpu, {"sums": launch_kernel(driver, 0)}


def variant(source: Path, name: str, out: Path) -> tuple[str, Figures]:
    """Make a bundle of another precision; see `benchmarks.gpu.variants`."""
    make_variant(open_bundle(source), name, out, PICTURES)
    made = open_bundle(out)
    size = sum(entry.size for entry in made.manifest.files.values())
    return "the CPU", {"precision": made.manifest.precision, "MB": round(size / 1e6, 1)}


def reference(bundle: Path, out: Path) -> tuple[str, Figures]:
    """Store what the bundle answers on ONNX Runtime's CPU, for the checks to compare with."""
    with opened("cpu", bundle) as (place, analyzer, _):
        np.savez(out, **_answers(analyzer))  # type: ignore[arg-type]
        return place, {"pictures": len(PICTURES)} | _speed(analyzer)


def runtime(name: str, bundle: Path, stored: Path, same_model: bool) -> tuple[str, Figures]:
    """Hold a bundle's answers on one runtime against the stored ones, and time it.

    Args:
        name: of the runtime, as `opened` takes it.
        bundle: a copy beside which engines may be built.
        stored: what `reference` wrote.
        same_model: the bundle is the one that wrote it, so that every tensor has to be close.

    Raises:
        Failed: a difference is over its limit.
    """
    with opened(name, bundle) as (place, analyzer, figures), np.load(stored) as loaded:
        differences = _compare(analyzer, dict(loaded), same_model)
        outside = [str(one) for one in differences if not one.within]
        if outside:
            raise Failed(f"on {place}: {', '.join(outside)}")
        figures |= {one.name: float(f"{one.value:.3g}") for one in differences}
        # What the fake takes says nothing about a GPU.
        return place, figures if place == FAKE else figures | _speed(analyzer)


def _answers(analyzer: Analyzer, stored: Stored | None = None) -> dict[str, NDArray[Any]]:
    """Return each picture's tensors; its regions and report are the stored ones where given."""
    from ft_export.gates.language_check import forced_logits

    manifest = analyzer.bundle.manifest
    kept: dict[str, NDArray[Any]] = {}
    decoder = analyzer.stages["language_decoder"]
    names = (*TENSORS, manifest.score.tensor) if manifest.score else TENSORS
    for index, picture in enumerate(PICTURES):
        regions = None if stored is None else suspected_regions(_of(index, stored), manifest)
        trace = analyzer.trace(picture, regions, Language(max_new_tokens=TOKENS))
        ids = trace["report_ids"] if stored is None else stored[f"{index}/report_ids"]
        steps = analyzer.chain.decoder(decoder, trace, 1, ids.shape[1])
        tensors = {name: trace[name] for name in names} | {"report_ids": ids}
        tensors["logits"] = forced_logits(steps, ids[0].tolist()[1:])
        kept |= {f"{index}/{name}": value for name, value in tensors.items()}
    return kept


def _of(picture: int, stored: Stored) -> dict[str, NDArray[Any]]:
    """Return what is stored of one picture, by tensor name."""
    prefix = f"{picture}/"
    return {
        name.removeprefix(prefix): value
        for name, value in stored.items()
        if name.startswith(prefix)
    }


def _compare(analyzer: Analyzer, stored: Stored, same_model: bool) -> list[Difference]:
    from ft_export.gates.encoders import MIN_MASK_IOU
    from ft_export.gates.text import MAX_MEAN_KL, kl_divergence

    manifest = analyzer.bundle.manifest
    found, every = _answers(analyzer, stored), range(len(PICTURES))
    limit = device_limit("cuda") if same_model else float("inf")
    differences = []
    for name in TENSORS:
        largest = max(relative(found[f"{n}/{name}"], stored[f"{n}/{name}"]) for n in every)
        differences.append(Difference(name, largest, limit))
    if not (manifest.encoder_gate and manifest.encoder_gate.waived):
        overlap = min(
            mask_overlap(*(predicted_mask(_of(n, side), manifest) for side in (found, stored)))
            for n in every
        )
        differences.append(Difference("mask IoU", overlap, MIN_MASK_IOU["float16"], at_least=True))
    kl = [kl_divergence(stored[f"{n}/logits"], found[f"{n}/logits"]) for n in every]
    differences.append(Difference("KL nats", float(np.concatenate(kl).mean()), MAX_MEAN_KL))
    return differences


def _speed(analyzer: Analyzer) -> Figures:
    """Return ms by stage, tokens/s and memory of warm analyses of one picture."""
    analyzer.language = replace(
        analyzer.language, beams=1, max_new_tokens=TOKENS, min_length=TOKENS + 1
    )
    bench = Bench(analyzer, PICTURES[0])
    for analyses, work in ((WARM_UP, partial(bench.warm_up, 1)), (RUNS, bench.analyze)):
        start = time.perf_counter()
        for _ in range(analyses):
            work()
            if time.perf_counter() - start > SECONDS:
                break
    measured = times(bench.samples)
    p50 = {name: round(values["p50"], 3) for name, values in measured["milliseconds"].items()}
    return {
        "p50 ms": p50,
        "tokens/s": round(measured["tokens_per_second"], 1),
        "host peak MiB": round(host_peak_mib()),
        "device MiB": device_mib(),
    }
