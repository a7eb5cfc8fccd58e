"""The accuracy gate of lowered encoders: each stage's tensors, and the masks of all in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ft_eval.metrics import mask_scores
from ft_export.gates.stage import Tensors, compare
from ftsdk.answer import sigmoid
from ftsdk.bundle import EncoderGateEntry, GateEntry, Manifest, Precision
from ftsdk.errors import GateError

#: Largest relative difference of a lowered stage's tensors in Euclidean norm, mean over pictures.
MAX_RELATIVE: dict[Precision, float] = {"float16": 0.01, "int8": 0.05}
#: Least mean IoU of the whole chain's masks with float32's.
MIN_MASK_IOU: dict[Precision, float] = {"float16": 0.98, "int8": 0.95}


@dataclass(frozen=True)
class Judged:
    """One picture's `mask_logits` and `region_logits`, by float32 and by the lowered chain."""

    reference: Tensors
    lowered: Tensors


def stage_differences(
    stage: str, found: Sequence[Tensors], reference: Sequence[Tensors]
) -> list[GateEntry]:
    """Measure each output over all pictures: the mean relative and the largest absolute one."""
    each = [compare(stage, a, b) for a, b in zip(found, reference, strict=True)]
    return [
        GateEntry(
            stage=stage,
            tensor=entries[0].tensor,
            max_absolute=max(entry.max_absolute for entry in entries),
            relative=float(np.mean([entry.relative for entry in entries])),
        )
        for entries in zip(*each, strict=True)
    ]


def within(entries: Sequence[GateEntry], precision: Precision) -> bool:
    """Say whether every entry is inside the limit of `precision`; NaN is not."""
    return all(entry.relative <= MAX_RELATIVE[precision] for entry in entries)


def measure_masks(
    judged: Sequence[Judged],
    manifest: Manifest,
    kept_layers: Mapping[str, tuple[str, ...]],
    waived: bool,
) -> EncoderGateEntry:
    """Compare the masks and regions of two chains over the same pictures."""
    overlaps, agreements = [], []
    for picture in judged:
        found, expected = (
            sigmoid(side["mask_logits"])[0] > manifest.mask_threshold
            for side in (picture.lowered, picture.reference)
        )
        overlaps.append(mask_scores(found, expected).iou)
        agreements.append(_named(picture.lowered, manifest) == _named(picture.reference, manifest))
    return EncoderGateEntry(
        pictures=len(judged),
        mean_mask_iou=float(np.mean(overlaps)),
        min_mask_iou=min(overlaps),
        region_agreement=float(np.mean(agreements)),
        kept_layers=dict(kept_layers),
        waived=waived,
    )


def name_same_regions(picture: Judged, manifest: Manifest) -> bool:
    """Say whether both chains suspect the same regions, and so write about the same ones."""
    found, expected = (_named(side, manifest) for side in (picture.lowered, picture.reference))
    return bool(np.array_equal(found, expected))


def _named(tensors: Tensors, manifest: Manifest) -> NDArray[np.bool_]:
    named: NDArray[np.bool_] = sigmoid(tensors["region_logits"])[0] > manifest.region_threshold
    return named


def require_close_masks(entry: EncoderGateEntry, precision: Precision) -> None:
    """Raise GateError if the masks overlap too little with float32's and that was not waived."""
    least = MIN_MASK_IOU[precision]
    if entry.mean_mask_iou >= least or entry.waived:
        return
    raise GateError(
        f"the {precision} encoders mask other pixels than float32; no bundle was written",
        expected=f"a mean mask IoU of at least {least:g}",
        found=f"{entry.mean_mask_iou:.3f} over {entry.pictures} pictures",
        cure="pass --calibration with more typical pictures, or a higher precision; for random "
        "weights, whose masks mean nothing, --waive-encoder-gate",
    )
