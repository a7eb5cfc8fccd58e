"""What a runtime must offer: a loaded graph that infers, binds memory, and closes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.cancellation import Cancellation


class DeviceTensor(ABC):
    """A result that stays on the device; it becomes an array only where someone asks for one.

    An engine of the runtime that made it takes it without a copy, any other one as an array.

    Attributes:
        shape: as an array's.
        dtype: as an array's.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        self.shape, self.dtype = shape, dtype
        self._array: NDArray[np.generic] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.generic]:
        if self._array is None:
            self._array = self._download()
        return np.array(self._array, dtype, copy=copy)

    @abstractmethod
    def _download(self) -> NDArray[np.generic]:
        """Return a copy in host memory."""


Tensor = NDArray[np.generic] | DeviceTensor
Tensors = Mapping[str, Tensor]
Arrays = Mapping[str, NDArray[np.generic]]


def arrays(tensors: Tensors) -> dict[str, NDArray[np.generic]]:
    """Return tensors as arrays in host memory, each [...] of its own shape and dtype."""
    return {name: np.asarray(tensor) for name, tensor in tensors.items()}


#: A tensor's lengths; None where any will do.
Axes = tuple[int | None, ...]


@dataclass(frozen=True)
class TensorFacts:
    """What a graph says of a tensor.

    Attributes:
        dtype: as numpy names it.
        axes: its lengths; None where the graph does not say how many there are.
    """

    dtype: str
    axes: Axes | None

    def __str__(self) -> str:
        lengths = ("*" if length is None else str(length) for length in self.axes or ())
        return f"{self.dtype} [{', '.join(lengths) if self.axes is not None else '...'}]"


@dataclass(frozen=True)
class GraphFacts:
    """What a graph takes and gives, by name."""

    takes: Mapping[str, TensorFacts]
    gives: Mapping[str, TensorFacts]


class Binding(ABC):
    """A graph with most of its tensors fixed in memory, for calls that repeat."""

    @abstractmethod
    def run(self, changed: Arrays) -> None:
        """Infer with the bound tensors and `changed`; results land in the bound outputs.

        Each array of `changed` is [...] of the shape and dtype that the graph takes by that name.
        """


class Engine(ABC):
    """One loaded graph.

    `infer` may be called from several threads at once; a binding belongs to one.
    """

    @property
    def facts(self) -> GraphFacts | None:
        """What the graph says that it takes and gives; None where the runtime cannot tell."""
        return None

    @abstractmethod
    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        """Return every output of the graph by name, whole and ready to be read.

        Names, shapes ([1, 3, S, S] float32 for `pixel_values`) and dtypes are the graph's own.
        A runtime that can stop in mid-graph does so when cancelled and raises
        AnalysisCancelledError; another one finishes. A binding's run is one token, and always
        finishes.
        """

    @abstractmethod
    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        """Fix contiguous arrays, or device tensors, as inputs, and arrays as every output.

        All are [...] of the shapes and dtypes that the graph gives those names.
        An input that changes between runs has to be passed to `run`; a runtime may keep its own
        copy of the others. An array may be both: then each run reads what the one before wrote,
        and the runtime need not bring it back to the caller's memory.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the graph."""
