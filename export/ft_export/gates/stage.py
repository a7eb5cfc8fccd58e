"""The accuracy gate: every exported tensor against its float32 reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ft_export.errors import GateError
from ftsdk.manifest import GateEntry

#: The name of the whole chain where a stage's would be.
END_TO_END = "end to end"
#: Largest absolute difference, in units of the reference's largest magnitude or 1.
MAX_ABSOLUTE = 1e-4
#: Largest relative difference in Euclidean norm.
MAX_RELATIVE = 1e-5

Tensors = Mapping[str, NDArray[np.generic]]


def compare(stage: str, found: Tensors, reference: Tensors) -> list[GateEntry]:
    """Measure each float tensor of `reference`, of any shape, against its namesake in `found`.

    Raises:
        GateError: a tensor has another shape.
    """
    return [
        _measure(stage, name, found[name], expected)
        for name, expected in reference.items()
        if expected.dtype.kind == "f"
    ]


def _measure(
    stage: str, name: str, found: NDArray[np.generic], expected: NDArray[np.generic]
) -> GateEntry:
    if found.shape != expected.shape:
        raise _failed(stage, f"{name} of shape {expected.shape}", f"shape {found.shape}")
    wanted = expected.astype(np.float64)
    difference = found.astype(np.float64) - wanted
    peak = max(1.0, float(np.abs(wanted).max()))
    return GateEntry(
        stage=stage,
        tensor=name,
        max_absolute=float(np.abs(difference).max()) / peak,
        relative=float(np.linalg.norm(difference) / max(float(np.linalg.norm(wanted)), 1e-12)),
    )


def require_passed(entries: Sequence[GateEntry]) -> None:
    """Raise GateError for the first entry over a limit; NaN is over every limit."""
    for entry in entries:
        if entry.max_absolute <= MAX_ABSOLUTE and entry.relative <= MAX_RELATIVE:
            continue
        limits = f"{MAX_ABSOLUTE:g} absolute, {MAX_RELATIVE:g} in norm"
        found = f"{entry.max_absolute:.3g} absolute, {entry.relative:.3g} in norm"
        raise _failed(entry.stage, f"{entry.tensor}: {limits}", found)


def _failed(stage: str, expected: str, found: str) -> GateError:
    return GateError(
        f"the exported stage {stage} differs from float32; no bundle was written",
        expected=expected,
        found=found,
        cure="report the versions of torch, onnx and onnxruntime; try those of the README",
    )


def require_equal_text(found: Sequence[int], expected: Sequence[int]) -> None:
    """Raise GateError unless the exported chain wrote the same token ids."""
    if list(found) != list(expected):
        raise GateError(
            "the exported chain writes another text than float32; no bundle was written",
            expected=f"token ids {list(expected)}",
            found=f"token ids {list(found)}",
            cure="report the versions of torch, onnx and onnxruntime; try those of the README",
        )
