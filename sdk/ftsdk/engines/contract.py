"""What a runtime must offer: a loaded graph that infers, binds memory, and closes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ftsdk.cancellation import Cancellation

Tensors = Mapping[str, NDArray[np.generic]]


class Binding(ABC):
    """A graph with most of its tensors fixed in memory, for calls that repeat."""

    @abstractmethod
    def run(self, changed: Tensors) -> None:
        """Infer with the bound tensors and `changed`; results land in the bound outputs."""


class Engine(ABC):
    """One loaded graph.

    `infer` may be called from several threads at once; a binding belongs to one.
    """

    @abstractmethod
    def infer(
        self, inputs: Tensors, cancellation: Cancellation | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Return every output of the graph by name.

        A runtime that can stop in mid-graph does so when cancelled and raises
        AnalysisCancelledError; another one finishes. A binding's run is one token, and always
        finishes.
        """

    @abstractmethod
    def bind(self, inputs: Tensors, outputs: Tensors) -> Binding:
        """Fix contiguous arrays as inputs and outputs.

        An input that changes between runs has to be passed to `run`; a runtime may keep its own
        copy of the others. An array may be both: then each run reads what the one before wrote,
        and the runtime need not bring it back to the caller's memory.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the graph."""
