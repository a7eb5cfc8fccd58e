"""What flows into a module's products while it runs: second moments, and the largest magnitude."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

#: A product with more rows has no second moments: they would outgrow the matrix.
MOST_ROWS = 4096


@dataclass
class Activations:
    """The inputs of one product [*, K], summed up.

    Attributes:
        moments: mean of x x^T over all rows, [K, K] float32; None where they were not asked for,
            or K is over MOST_ROWS.
        rows: how many inputs were seen.
        peak: largest magnitude among inputs and outputs.
    """

    moments: Tensor | None = None
    rows: int = 0
    peak: float = 0.0

    def add(self, inputs: Tensor, outputs: Tensor, with_moments: bool) -> None:
        """Take the inputs and outputs of one call into account."""
        self.peak = max(self.peak, float(inputs.abs().max()), float(outputs.abs().max()))
        if not with_moments or inputs.shape[-1] > MOST_ROWS:
            return
        rows = inputs.reshape(-1, inputs.shape[-1])
        moments = rows.T @ rows / len(rows)
        self.rows += len(rows)
        if self.moments is None:
            self.moments = moments
        else:
            self.moments += (moments - self.moments) * (len(rows) / self.rows)


@contextmanager
def observed(module: nn.Module, with_moments: bool) -> Iterator[dict[str, Activations]]:
    """Record the activations of every linear layer of `module`, by name, while it runs."""
    seen: dict[str, Activations] = {}
    handles = [
        part.register_forward_hook(_recorder(seen.setdefault(name, Activations()), with_moments))
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _recorder(activations: Activations, with_moments: bool) -> Any:
    def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        with torch.no_grad():
            activations.add(inputs[0], output, with_moments)

    return record
