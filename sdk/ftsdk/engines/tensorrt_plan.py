"""A TensorRT plan in memory, and what every use of it must check."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ftsdk.engines.contract import Arrays, Axes, GraphFacts, Tensor, TensorFacts
from ftsdk.engines.device_memory import Stream
from ftsdk.errors import EngineLoadError, EngineRunError


class LoadedPlan:
    """A deserialised plan with one stream, and one execution context outside of captured graphs.

    Args:
        plan: a plan's verified bytes.
        name: the stage, for messages.
        trt: `tensorrt` or `tensorrt_rtx`.
        cuda: `cuda.bindings.runtime`.

    Raises:
        EngineLoadError: the runtime refused the plan.

    Attributes:
        context: the one outside of captured graphs; its user holds `lock`.
        capturable: whether no capture of a CUDA graph has failed so far.
    """

    def __init__(self, plan: bytes, name: str, trt: Any, cuda: Any) -> None:
        self.name = name
        log = error_log(trt)
        engine = trt.Runtime(log).deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineLoadError(
                f"{trt.__name__} {trt.__version__} refused the engine of {name}",
                expected="a plan for this GPU, driver and version",
                found="; ".join(log.errors)[:400] or "no reason given",
                cure="build it again on this machine: ft-export BUNDLE --engines this",
            )
        self._engine, self.context = engine, engine.create_execution_context()
        self.stream, self.lock = Stream(cuda), threading.Lock()
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        self.types = {n: np.dtype(trt.nptype(engine.get_tensor_dtype(n))) for n in names}
        given = {n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT}
        self.outputs = [n for n in names if n not in given]
        self.inputs = [n for n in names if n in given]
        self._facts = {n: TensorFacts(str(self.types[n]), _axes(engine, n)) for n in names}
        self.capturable = True

    @property
    def facts(self) -> GraphFacts:
        """What the plan takes and gives."""
        known = self._facts
        return GraphFacts({n: known[n] for n in self.inputs}, {n: known[n] for n in self.outputs})

    @property
    def is_open(self) -> bool:
        """Whether the plan was not released yet."""
        return self._engine is not None

    def require_open(self) -> None:
        """Raise EngineRunError if the plan was released."""
        if not self.is_open:
            raise self._failed("an open engine", "it is closed")

    def require_all(self, outputs: Arrays) -> None:
        """Raise EngineRunError unless each output of the plan has an array [...], and no other."""
        if set(outputs) != set(self.outputs):
            raise self._failed(f"arrays for {', '.join(self.outputs)}", ", ".join(outputs))

    def new_context(self) -> Any:
        """Return a context that will belong to a captured graph."""
        return self._engine.create_execution_context()

    def check(self, name: str, tensor: Tensor) -> None:
        """Raise EngineRunError where the plan takes another dtype than a tensor [...] has."""
        if tensor.dtype != self.types[name]:
            raise self._failed(f"{name} as {self.types[name]}", str(tensor.dtype))

    def set_shape(self, context: Any, name: str, shape: tuple[int, ...]) -> None:
        """Tell a context an input's shape."""
        if not context.set_input_shape(name, shape):
            raise self._failed("shapes inside the plan's profile", f"{name} {list(shape)}")

    def execute(self, context: Any) -> None:
        """Put one run into the stream."""
        if not context.execute_async_v3(int(self.stream.handle)):
            raise self._failed("a run without errors", "TensorRT reported a failure")

    def _failed(self, expected: str, found: str) -> EngineRunError:
        return EngineRunError(
            f"TensorRT could not run {self.name}",
            expected=expected,
            found=found,
            cure='fewer beams or tokens, a new build, or device="cpu"',
        )

    def release(self) -> None:
        """Free plan and stream; nothing may be run afterwards."""
        self.context = self._engine = None
        self.stream.close()


def _axes(engine: Any, name: str) -> Axes:
    return tuple(None if length < 0 else int(length) for length in engine.get_tensor_shape(name))


def error_log(trt: Any) -> Any:
    """Return a logger that keeps TensorRT's errors; its base class is the module's own."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

    return Log()
