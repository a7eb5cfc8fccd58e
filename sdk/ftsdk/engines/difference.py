"""How far a device's tensors may be from a reference's, and how far they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftsdk.engines.device_name import on_processor

#: How many times as far from float32 as its own gate measured a tensor of lower precision may be:
#: the gate's figure is a mean over pictures.
GATE_FACTOR = 3.0
_ON_PROCESSOR, _ELSEWHERE = 1e-3, 2e-2


def device_limit(device: str) -> float:
    """Return the relative difference in Euclidean norm that a device may bring.

    1e-3 on a processor, whose sums have another order; 2e-2 elsewhere: CUDA's float32 products
    round to TF32, 10 bits, and NPUs compute in float16.

    Args:
        device: as `LoadedEngines` names it, `cpu`, `cuda:0` or `openvino:cpu`.
    """
    return _ON_PROCESSOR if on_processor(device) else _ELSEWHERE


@dataclass(frozen=True)
class Difference:
    """What was measured of one tensor, and the limit; `at_least` says on which side it is."""

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def within(self) -> bool:
        """Whether the limit holds; NaN is outside every limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        side = "at least" if self.at_least else "at most"
        return f"{self.name} {self.value:.3g} ({side} {self.limit:.3g})"


def relative(found: NDArray[np.generic], expected: NDArray[np.generic]) -> float:
    """Return the Euclidean norm of the difference of two tensors [...] over `expected`'s.

    It is infinite where the shapes differ.
    """
    if found.shape != expected.shape:
        return float("inf")
    wanted = expected.astype(np.float64)
    difference = float(np.linalg.norm(found.astype(np.float64) - wanted))
    return difference / max(float(np.linalg.norm(wanted)), 1e-12)
