"""A bundle's golden picture end to end, against the float32 tensors that the bundle stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.bundle import Bundle
from ftsdk.decision import mask_overlap, predicted_mask
from ftsdk.doctor.findings import Findings
from ftsdk.engines.difference import GATE_FACTOR, Difference, device_limit, relative
from ftsdk.errors import EngineAnswerError
from ftsdk.language.options import Language
from ftsdk.manifest import Manifest

if TYPE_CHECKING:
    from ftsdk.analyzer import Analyzer

Tensors = Mapping[str, NDArray[np.generic]]

MIN_MASK_IOU = 0.95
#: Least similarity of the report's token ids, 1 being equal. A near tie may fall the other way and
#: turn the rest of a text; garbage shares next to nothing.
MIN_TEXT = 0.5


def check_golden(bundle: Bundle, device: str) -> Findings:
    """Analyse the golden picture and compare each tensor with the stored reference.

    Args:
        bundle: a verified bundle.
        device: as `Analyzer` takes it.
    """
    from ftsdk.analyzer import Analyzer

    found = Findings("golden picture")
    with found.collecting(device), Analyzer(bundle.path, device=device) as analyzer:
        place = f"{analyzer.stages.device} by {analyzer.stages.runtime}"
        differences = compare_golden(analyzer)
        outside = [str(one) for one in differences if not one.within]
        if outside:
            raise _another_answer(bundle, place, outside)
        found.facts[place] = "as it should be: " + ", ".join(
            f"{one.name} {one.value:.2g}" for one in differences
        )
    return found


def compare_golden(analyzer: Analyzer) -> list[Difference]:
    """Return how far the golden picture's tensors are from the stored ones, on this device."""
    bundle = analyzer.bundle
    manifest = bundle.manifest
    reference = bundle.golden()
    language = Language(max_new_tokens=reference["report_ids"].shape[1] - 1)
    trace = analyzer.trace(bundle.read(manifest.golden_picture), language=language)
    limit = device_limit(analyzer.stages.device)
    return [*differences_of(trace, reference, manifest, limit)]


def differences_of(
    trace: Mapping[str, Any], reference: Tensors, manifest: Manifest, limit: float
) -> Iterator[Difference]:
    """Yield every float tensor's relative difference, the mask's IoU and the text's similarity.

    Args:
        trace: what `Analyzer.trace` returned.
        reference: the bundle's golden tensors.
        manifest: says how far the exported stages were from float32.
        limit: relative difference that the device may bring besides.
    """
    measured = {one.tensor: one.relative for one in manifest.gate if one.stage == "end to end"}
    for name, expected in reference.items():
        if expected.dtype.kind == "f":
            allowed = max(limit, GATE_FACTOR * measured.get(name, 0.0))
            yield Difference(name, relative(trace[name], expected), allowed)
    if not (manifest.encoder_gate and manifest.encoder_gate.waived):
        masks = (predicted_mask(side, manifest) for side in (trace, reference))
        yield Difference("mask IoU", mask_overlap(*masks), MIN_MASK_IOU, at_least=True)
    if not (manifest.text_gate and manifest.text_gate.waived):
        found, expected = (side["report_ids"][0].tolist() for side in (trace, reference))
        ratio = SequenceMatcher(None, found, expected, autojunk=False).ratio()
        yield Difference("report", ratio, MIN_TEXT, at_least=True)


def _another_answer(bundle: Bundle, place: str, outside: list[str]) -> EngineAnswerError:
    return EngineAnswerError(
        f"{bundle.manifest.name} answers something else on {place} than where it was exported",
        expected="the golden picture's tensors, within the limits",
        found=", ".join(outside),
        cure=f"compare with: ft-doctor --bundle {bundle.path} --device cpu; if only the GPU "
        "differs, run ft-doctor --clear-engines, or export a higher precision",
    )
