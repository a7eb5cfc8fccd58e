"""What flows into a module's products while it runs: rows of inputs, and the largest magnitude.

GPTQ wants the second moments of each product's inputs. Those of a whole language model of the
published size would take 8 GB, so the rows themselves go to a file as they come, and one product's
moments are computed when its matrix is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ft_export.precision.rounding import Curvature

#: Of one call with many rows, as an encoder's, so many are kept, evenly spread.
ROWS_A_CALL = 48

_Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]


@dataclass
class Rows:
    """Inputs of a product, [count, width] bfloat16 in a file."""

    path: Path
    width: int
    count: int = 0

    def add(self, rows: Tensor) -> None:
        """Append at most ROWS_A_CALL of `rows` [N, width], evenly spread."""
        chosen = rows[:: max(1, len(rows) // ROWS_A_CALL)][:ROWS_A_CALL]
        with self.path.open("ab") as file:
            file.write(chosen.bfloat16().view(torch.int16).numpy().tobytes())
        self.count += len(chosen)

    def moments(self) -> Tensor:
        """Return the mean of x x^T over the rows, [width, width] float32."""
        stored = torch.from_numpy(np.fromfile(self.path, np.int16)).view(torch.bfloat16)
        rows = stored.reshape(self.count, self.width).float()
        return (rows.T @ rows).div_(self.count)


@dataclass
class Activations:
    """The inputs and outputs of one product.

    Attributes:
        peak: largest magnitude among inputs and outputs.
        rows: its inputs; None where they were not asked for. Products that are given one tensor,
            as q, k and v are, share theirs.
    """

    peak: float = 0.0
    rows: Rows | None = None


@dataclass
class Observations:
    """The activations of a module's linear layers, by the layer's name."""

    layers: dict[str, Activations] = field(default_factory=dict)
    _latest: tuple[Rows, Curvature] | None = None

    def peak(self, layer: str) -> float:
        """Return the largest magnitude at a layer; 0 where it was not observed."""
        return self.layers[layer].peak if layer in self.layers else 0.0

    def curvature(self, layer: str) -> Curvature | None:
        """Return the curvature of a layer's inputs, None without inputs; the latest one is kept."""
        rows = self.layers[layer].rows if layer in self.layers else None
        if rows is None:
            return None
        if self._latest is None or self._latest[0] is not rows:
            self._latest = None  # Let go of it before the next one is computed.
            self._latest = rows, Curvature.of(rows.moments())
        return self._latest[1]


@contextmanager
def observed(module: nn.Module, folder: Path | None = None) -> Iterator[Observations]:
    """Observe every linear layer of `module` while it runs.

    Args:
        module: a stage.
        folder: where rows of inputs are kept; None observes magnitudes only.
    """
    observations = Observations()
    recorder = _Recorder(folder)
    handles = [
        part.register_forward_hook(
            recorder.of(name, observations.layers.setdefault(name, Activations()))
        )
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear)
    ]
    try:
        yield observations
    finally:
        for handle in handles:
            handle.remove()


class _Recorder:
    """Writes down what the layers are given; knows what the one before was given."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._before: tuple[Tensor, Rows] | None = None

    def of(self, name: str, activations: Activations) -> _Hook:
        """Return the hook of one layer."""

        def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            given = inputs[0]
            peak = max(float(given.abs().max()), float(output.abs().max()))
            activations.peak = max(activations.peak, peak)
            if self._folder is not None:
                self._keep(name, activations, given, self._folder)

        return record

    def _keep(self, name: str, activations: Activations, given: Tensor, folder: Path) -> None:
        if self._before is not None and self._before[0] is given:
            activations.rows = self._before[1]
            return
        if activations.rows is None:
            activations.rows = Rows(folder / f"{name}.rows", given.shape[-1])
        activations.rows.add(given.detach().reshape(-1, given.shape[-1]))
        self._before = given, activations.rows
