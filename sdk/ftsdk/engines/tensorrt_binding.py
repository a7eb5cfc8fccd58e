"""A plan's tensors fixed on the device, and a step that repeats replayed as a CUDA graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.engines.contract import Arrays, Binding, Tensors
from ftsdk.engines.device_memory import CudaTensor, Graph, Staged
from ftsdk.engines.tensorrt_plan import LoadedPlan

#: Graphs that one binding keeps; each has a context of its own, with its scratch memory.
MOST_GRAPHS = 4

_Step = tuple[object, ...]


class TensorRtBinding(Binding):
    """Fixed inputs are uploaded once; what is input and output stays on the device, in two copies.

    A step reads one copy and writes the other, then they change places: TensorRT does not promise
    that an output may be its input's own memory. A step that was run before, with the same shapes
    and the same copy, is captured when it comes again, copies included, and replayed from then on.
    A captured context must not be changed, so each graph has its own.
    """

    def __init__(self, engine: LoadedPlan, inputs: Tensors, outputs: Arrays) -> None:
        engine.require_open()
        engine.require_all(outputs)
        self._engine, self._outputs = engine, dict(outputs)
        owners = {id(tensor): name for name, tensor in inputs.items()}
        self._pairs = {n: owners[id(a)] for n, a in outputs.items() if id(a) in owners}
        self._memory: dict[str, Staged | CudaTensor] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._seen: set[_Step] = set()
        self._graphs: dict[_Step, tuple[Graph, Any]] = {}
        self._swapped = False
        for name, tensor in inputs.items():
            engine.check(name, tensor)
            self._shapes[name] = tensor.shape
            self._memory[name] = tensor if isinstance(tensor, CudaTensor) else Staged(engine.stream)
            if not isinstance(tensor, CudaTensor):
                self._fix(name, np.asarray(tensor, order="C"))
        for name, array in outputs.items():
            self._staged(name).reserve(array.nbytes)
        engine.stream.synchronise()

    def run(self, changed: Arrays) -> None:
        engine = self._engine
        with engine.lock:
            engine.require_open()
            for name, array in changed.items():
                engine.check(name, array)
                self._write(name, array)
            results = {n: a for n, a in self._outputs.items() if n not in self._pairs}
            self._step(changed, results)
            engine.stream.synchronise()
            for name, array in results.items():
                self._staged(name).read(array)
            for output, given in self._pairs.items():
                memory = self._memory
                memory[output], memory[given] = memory[given], memory[output]
            self._swapped = bool(self._pairs) and not self._swapped

    def _fix(self, name: str, array: NDArray[np.generic]) -> None:
        # Once, and it may be large: not worth pinned memory.
        address = self._staged(name).reserve(array.nbytes)
        self._engine.stream.copy(address, array.ctypes.data, array.nbytes, to_device=True)

    def _write(self, name: str, array: NDArray[np.generic]) -> None:
        staged = self._staged(name)
        before = staged.address
        staged.write(array)
        self._shapes[name] = array.shape
        if staged.address != before:
            self._graphs.clear()
            self._seen.clear()

    def _step(self, changed: Arrays, results: Arrays) -> None:
        engine = self._engine
        step = (self._swapped, tuple(changed), tuple(self._shapes.items()))
        if step in self._graphs:
            self._graphs[step][0].launch(engine.stream)
            return
        capture = step in self._seen and engine.capturable and len(self._graphs) < MOST_GRAPHS
        self._seen.add(step)
        context = engine.new_context() if capture else engine.context
        self._prepare(context)
        self._enqueue(context, changed, results)
        if capture:
            # TensorRT wants a new context's first run done before one is captured.
            engine.stream.synchronise()
            graph = engine.stream.capture(lambda: self._enqueue(context, changed, results))
            engine.capturable = graph is not None
            if graph:
                self._graphs[step] = graph, context

    def _prepare(self, context: Any) -> None:
        for name, shape in self._shapes.items():
            self._engine.set_shape(context, name, shape)
        for name, memory in self._memory.items():
            context.set_tensor_address(name, memory.address)

    def _enqueue(self, context: Any, changed: Arrays, results: Arrays) -> None:
        for name, array in changed.items():
            self._staged(name).upload(array.nbytes)
        self._engine.execute(context)
        for name, array in results.items():
            self._staged(name).download(array)

    def _staged(self, name: str) -> Staged:
        memory = self._memory.setdefault(name, Staged(self._engine.stream))
        if isinstance(memory, CudaTensor):
            memory = self._memory[name] = Staged(self._engine.stream)
        return memory
