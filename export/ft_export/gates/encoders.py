"""The accuracy gate of lowered encoders: each stage's tensors, and the masks of all in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ft_export.errors import GateError
from ft_export.gates.stage import Tensors, compare
from ftsdk.decision import mask_overlap, predicted_mask, suspected_regions
from ftsdk.manifest import EncoderGateEntry, GateEntry, Manifest, Precision

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
    overlaps, differing = [], 0
    for picture in judged:
        sides = (picture.lowered, picture.reference)
        overlaps.append(mask_overlap(*(predicted_mask(side, manifest) for side in sides)))
        found, expected = (set(suspected_regions(side, manifest)) for side in sides)
        differing += len(found ^ expected)
    pairs = len(judged) * len(manifest.labels)
    return EncoderGateEntry(
        pictures=len(judged),
        mean_mask_iou=float(np.mean(overlaps)),
        min_mask_iou=min(overlaps),
        region_agreement=(pairs - differing) / pairs,
        kept_layers=dict(kept_layers),
        waived=waived,
    )


def name_same_regions(picture: Judged, manifest: Manifest) -> bool:
    """Say whether both chains suspect the same regions, and so write about the same ones."""
    sides = (picture.lowered, picture.reference)
    found, expected = (suspected_regions(side, manifest) for side in sides)
    return found == expected


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
