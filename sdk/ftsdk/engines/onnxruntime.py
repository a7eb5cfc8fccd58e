"""ONNX Runtime on the CPU, on CUDA, or by an execution provider of another package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import (
    Arrays,
    Binding,
    DeviceTensor,
    Engine,
    GraphFacts,
    Tensor,
    TensorFacts,
    Tensors,
)
from ftsdk.engines.graph_source import loadable
from ftsdk.engines.provider import find_device
from ftsdk.engines.session_options import as_prepared, session_options
from ftsdk.errors import (
    BundleError,
    DeviceUnavailableError,
    EngineLoadError,
    EngineNotInstalledError,
    EngineRunError,
)
from ftsdk.machine import release_freed_memory
from ftsdk.verified import BundleGraph

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
#: numpy's names of the runtime's data types.
TYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(bool)": np.dtype(np.bool_),
}


def load_runtime() -> ModuleType:
    """Import ONNX Runtime.

    Raises:
        EngineNotInstalledError: it is missing, or an uninstall left only its empty shell.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise _not_installed(str(error)) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise _not_installed("an empty onnxruntime package, left by uninstalling one of two")
    return cast(ModuleType, onnxruntime)


def require_provider(device: str) -> str:
    """Return ONNX Runtime's provider for `cpu`, `cuda` or `cuda:N`.

    Raises:
        EngineNotInstalledError: no ONNX Runtime.
        DeviceUnavailableError: it was built without that provider.
    """
    provider = _PROVIDERS[device.partition(":")[0]]
    if provider not in load_runtime().get_available_providers():
        raise _unavailable(device, "this ONNX Runtime was built without it")
    return provider


def _not_installed(found: str) -> EngineNotInstalledError:
    return EngineNotInstalledError(
        "no inference runtime is installed",
        expected="onnxruntime or onnxruntime-gpu, exactly one of them",
        found=found,
        cure='pip install "ftsdk[cpu]" (or "ftsdk[gpu]" for an NVIDIA GPU)',
    )


class OnnxRuntimeEngine(Engine):
    """An ONNX Runtime session on exactly the device that was asked for.

    Args:
        graph: of a bundle, or an ONNX file of one's own.
        device: `cpu`, `cuda`, `cuda:N`, or an installed provider's, such as `openvino:npu`.
        threads: threads inside one operator; 0 lets ONNX Runtime choose.
        many_rows: its products have dozens of rows, unlike a decoder's step.
        profile: where the time of each operator is written, this plus a suffix; None measures none.

    Raises:
        EngineNotInstalledError: no ONNX Runtime.
        DeviceUnavailableError: the session would have run on another device.
        EngineLoadError: the graph was refused, or a part of it would run elsewhere.
        BundleFileAlteredError: weights beside the graph are not those that were hashed.

    `infer`, `bind` and a binding's `run` raise EngineRunError where the runtime fails.
    """

    def __init__(
        self,
        graph: Path | BundleGraph,
        device: str = "cpu",
        threads: int = 0,
        many_rows: bool = False,
        profile: Path | None = None,
    ) -> None:
        runtime = load_runtime()
        self.name = graph.name
        kind, _, index = device.partition(":")
        # A provider's package takes arrays of the host and brings its results back there.
        self.on_host, self.in_place = kind != "cuda", kind in _PROVIDERS
        self._place = ("cuda", int(index or 0)) if kind == "cuda" else ("cpu", 0)
        options = session_options(runtime, threads, many_rows, profile)
        self.is_prepared = isinstance(graph, BundleGraph) and graph.is_prepared
        if self.is_prepared:
            as_prepared(runtime, options)
        self._session = open_session(runtime, graph, device, threads, options)
        # Loading packs the weights and frees as much again, which glibc would keep. What a small
        # graph leaves, the next one takes, without page faults; who loads several frees the rest.
        if not (isinstance(graph, BundleGraph) and graph.is_small):
            release_freed_memory()
        self.from_numpy: Any = runtime.OrtValue.ortvalue_from_numpy
        self._run_options: Any = runtime.RunOptions
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def facts(self) -> GraphFacts:
        session = self._open()
        return GraphFacts(_facts(session.get_inputs()), _facts(session.get_outputs()))

    def infer(self, inputs: Tensors, cancellation: Cancellation | None = None) -> Tensors:
        session, options = self._open(), self._run_options()

        def stop() -> None:
            options.terminate = True

        with (cancellation or Cancellation()).calling(stop), _failures_named(self.name):
            if not self.on_host:
                return self._infer_on_device(session, inputs, options)
            values = session.run(self._outputs, dict(inputs), options)
        return dict(zip(self._outputs, values, strict=True))

    def _infer_on_device(self, session: Any, inputs: Tensors, options: Any) -> Tensors:
        io = session.io_binding()
        for name, tensor in inputs.items():
            io.bind_ortvalue_input(name, self.value(tensor))
        for name in self._outputs:
            io.bind_output(name, *self._place)
        session.run_with_iobinding(io, options)
        return dict(zip(self._outputs, map(OrtTensor, io.get_outputs()), strict=True))

    def bind(self, inputs: Tensors, outputs: Arrays) -> Binding:
        session = self._open()
        with _failures_named(self.name):
            return _OnnxRuntimeBinding(self, session, inputs, outputs)

    def value(self, tensor: Tensor, here: bool = False) -> Any:
        """Return a tensor [...] of any shape and dtype as an `OrtValue`.

        An array goes to the host's memory, or to the session's device if it is wanted `here`.
        """
        if isinstance(tensor, OrtTensor):
            return tensor.value
        place = self._place if here else ("cpu", 0)
        return self.from_numpy(np.asarray(tensor, order="C"), *place)

    def end_profile(self) -> Path:
        """Return the JSON file with every operator's time so far, and measure no more."""
        return Path(self._open().end_profiling())

    def close(self) -> None:
        self._session = None

    def _open(self) -> Any:
        session = self._session
        if session is None:
            raise _failed(self.name, "it is closed")
        return session


def _facts(values: list[Any]) -> dict[str, TensorFacts]:
    return {value.name: TensorFacts(_dtype(value.type), _axes(value.shape)) for value in values}


def _dtype(kind: str) -> str:
    return str(TYPES[kind]) if kind in TYPES else kind


def _axes(shape: list[int | str | None] | None) -> tuple[int | None, ...] | None:
    # The runtime gives an empty list for a graph that does not say how many axes there are.
    return tuple(one if isinstance(one, int) else None for one in shape) if shape else None


class OrtTensor(DeviceTensor):
    """A value of ONNX Runtime's, on its device."""

    def __init__(self, value: Any) -> None:
        super().__init__(tuple(value.shape()), TYPES[value.data_type()])
        self.value = value

    def _download(self) -> NDArray[np.generic]:
        return cast("NDArray[np.generic]", self.value.numpy())


class _OnnxRuntimeBinding(Binding):
    """What is input and output lies on the session's device, where a run writes over it.

    The runtime copies other arrays to its device when they are bound, and results back to the
    caller's memory after a run; on the CPU nothing is copied. Where a provider cannot write over
    what it reads, two values of a state take turns.
    """

    def __init__(
        self, engine: OnnxRuntimeEngine, session: Any, inputs: Tensors, outputs: Arrays
    ) -> None:
        self._engine, self._session = engine, session
        self._io = session.io_binding()
        # The runtime reads and writes numpy's memory, so the arrays must outlive the binding.
        self._tensors = (*inputs.values(), *outputs.values())
        states = {id(a): engine.value(a, here=True) for a in outputs.values() if _any_is(a, inputs)}
        for name, tensor in inputs.items():
            self._io.bind_ortvalue_input(name, states.get(id(tensor)) or engine.value(tensor))
        # An array that was bound by its own memory is seen as it is at every run; for a provider
        # of another package the runtime may have copied it.
        self._shared = {
            name: tensor
            for name, tensor in inputs.items()
            if engine.in_place and engine.on_host and _is_contiguous(tensor)
        }
        for name, array in outputs.items():
            self._io.bind_ortvalue_output(name, states.get(id(array)) or engine.value(array))
        self._turns = [] if engine.in_place else [*_turns(engine, inputs, outputs)]
        self._take_turns()

    def run(self, changed: Arrays) -> None:
        with _failures_named(self._engine.name):
            for name, array in changed.items():
                if self._shared.get(name) is not array:
                    self._io.bind_ortvalue_input(name, self._engine.from_numpy(array))
                    self._shared.pop(name, None)
            self._session.run_with_iobinding(self._io)
            self._take_turns()

    def _take_turns(self) -> None:
        for turn in self._turns:
            self._io.bind_ortvalue_input(turn.read, turn.values[0])
            self._io.bind_ortvalue_output(turn.written, turn.values[1])
            turn.values.reverse()


@dataclass(frozen=True)
class _Turn:
    """Input and output of one state, its two values, the one read next first, and their memory."""

    read: str
    written: str
    values: list[Any]
    memory: list[NDArray[np.generic]]


def _turns(engine: OnnxRuntimeEngine, inputs: Tensors, outputs: Arrays) -> Iterator[_Turn]:
    for written, array in outputs.items():
        for read in (name for name, tensor in inputs.items() if tensor is array):
            memory = [array.copy(), array.copy()]
            yield _Turn(read, written, [engine.value(one) for one in memory], memory)


def _is_contiguous(tensor: Tensor) -> bool:
    return isinstance(tensor, np.ndarray) and tensor.flags.c_contiguous


def _any_is(array: NDArray[np.generic], tensors: Tensors) -> bool:
    return any(tensor is array for tensor in tensors.values())


@contextmanager
def _failures_named(name: str) -> Iterator[None]:
    # The runtime's own exceptions share no base class.
    try:
        yield
    except Exception as error:
        raise _failed(name, str(error)[:400]) from error


def _failed(name: str, found: str) -> EngineRunError:
    return EngineRunError(
        f"ONNX Runtime could not run {name}",
        expected="an open engine, enough memory, and tensors that fit the graph",
        found=found,
        cure="open the bundle again; where memory ran out, free some or use a smaller model",
    )


def open_session(
    runtime: ModuleType,
    graph: Path | BundleGraph,
    device: str,
    threads: int,
    options: Any,
) -> Any:
    """Return a session on exactly that device; see `OnnxRuntimeEngine` for what it raises."""
    provider, arguments = _choose_provider(runtime, device, options, threads)
    try:
        with loadable(graph, options) as model:
            # The runtime's Python part would else repeat what fails on the CPU, in print alone.
            session = runtime.InferenceSession(model, options, **arguments, enable_fallback=0)
    except BundleError:
        raise
    except Exception as error:
        raise EngineLoadError(
            f"ONNX Runtime {runtime.__version__} refused {graph.name} on {device}",
            expected="a graph that this ONNX Runtime can load there",
            found=str(error)[:400],
            cure='upgrade onnxruntime, export the bundle again, or pass device="cpu"',
        ) from error
    chosen = session.get_providers()[0]
    if chosen != provider:
        raise _unavailable(device, f"the session fell back to {chosen}")
    if not arguments:
        _require_all_there(session, provider, graph.name, device)
    return session


def _choose_provider(
    runtime: ModuleType, device: str, options: Any, threads: int
) -> tuple[str, dict[str, Any]]:
    """Return the provider of a device and what its session takes beside `options`.

    That of a package is put into `options`, and nothing is left to pass.
    """
    kind, _, index = device.partition(":")
    if kind not in _PROVIDERS:
        found = find_device(device, runtime)
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        options.add_provider_for_devices([found.handle], found.options(threads))
        return str(found.handle.ep_name), {}
    provider = require_provider(device)
    arguments = {"device_id": index or "0"} if kind == "cuda" else {}
    return provider, {"providers": [(provider, arguments)]}


def _require_all_there(session: Any, provider: str, name: str, device: str) -> None:
    """Refuse a graph of which the runtime gave a node to another provider: the CPU's, silently."""
    elsewhere = Counter(
        f"{node.op_type} by {part.ep_name}"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != provider
        for node in part.get_nodes()
    )
    if elsewhere:
        some = ", ".join(f"{count} {node}" for node, count in elsewhere.most_common(8))
        raise EngineLoadError(
            f"the device '{device}' cannot run the whole of {name}",
            expected=f"every operator run by {provider}",
            found=some,
            cure='pass device="cpu", or upgrade the provider\'s package',
        )


def _unavailable(device: str, found: str) -> DeviceUnavailableError:
    return DeviceUnavailableError(
        f"the device '{device}' cannot be used",
        expected=f"a working {device}",
        found=found,
        cure='pass device="cpu", or install the driver and "ftsdk[gpu]" in place of "ftsdk[cpu]"',
    )
