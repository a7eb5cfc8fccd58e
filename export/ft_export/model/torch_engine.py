"""A torch module behind the SDK's engine contract: the float32 reference of every export."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ft_export.model.layers import Stage
from ftsdk.cancellation import Cancellation
from ftsdk.engines import contract
from ftsdk.engines.contract import Arrays, Binding, Engine, Tensors


class TorchEngine(Engine):
    """Runs a stage's module in eager mode on the CPU; float tensors go in and out as float32.

    Args:
        module: the stage.
        dtype: the float type that it computes in.
    """

    def __init__(self, module: Stage, dtype: torch.dtype = torch.float32) -> None:
        self.module, self._dtype = module.to(dtype), dtype

    def infer(
        self, inputs: Tensors, cancellation: Cancellation | None = None
    ) -> dict[str, NDArray[np.generic]]:
        del cancellation  # eager torch cannot stop in a module
        tensors = (torch.from_numpy(np.asarray(inputs[name])) for name in self.module.inputs)
        arguments = [t.to(self._dtype) if t.is_floating_point() else t for t in tensors]
        with torch.inference_mode():
            outputs = self.module(*arguments)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        values = (output.float().numpy() for output in outputs)
        return dict(zip(self.module.outputs, values, strict=True))

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        return _TorchBinding(self, dict(inputs), outputs)

    def close(self) -> None:
        del self.module


class _TorchBinding(Binding):
    def __init__(
        self, engine: TorchEngine, inputs: dict[str, contract.Tensor], outputs: Arrays
    ) -> None:
        self._engine, self._inputs, self._outputs = engine, inputs, outputs

    def run(self, changed: Arrays) -> None:
        self._inputs |= changed
        for name, value in self._engine.infer(self._inputs).items():
            np.copyto(self._outputs[name], value)
