"""A fake TensorRT that builds plans too: those that `FakeTensorRt` runs."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
from support.fake_tensorrt import FakeTensorRt, fake_plan

GIGABYTE = 1 << 30


class FakeBuildingTensorRt(FakeTensorRt):
    """Stands for the module `tensorrt`: the part of it that building takes.

    Args:
        memory: bytes of GPU memory; a build takes a GB, or its workspace limit where it has one.
        name: the module's.

    Attributes:
        workspaces: the limit that each build had; None for none.
        timings: the timing cache that each build began with.
        parsed: the bytes of each graph that was read.
    """

    class IProgressMonitor:
        """Base of progress monitors."""

    class NetworkDefinitionCreationFlag(IntEnum):
        """As TensorRT 10 has it."""

        STRONGLY_TYPED = 1

    class MemoryPoolType(IntEnum):
        """The one pool that builds are limited in."""

        WORKSPACE = 0

    def __init__(self, memory: int = 4 * GIGABYTE, name: str = "tensorrt", **usual: Any) -> None:
        super().__init__(**usual)
        self.__name__, self.memory = name, memory
        self.workspaces: list[int | None] = []
        self.timings: list[bytes] = []
        self.parsed: list[bytes] = []

    def Builder(self, log: Any) -> Any:  # noqa: N802
        """Return what builds."""
        return _Builder(self, log)

    def OnnxParser(self, network: Any, log: Any) -> Any:  # noqa: N802
        """Return what reads a graph into `network`."""
        del log

        def parse(model: bytes, path: str) -> bool:
            self.parsed.append(model)
            network.read(model, path)
            return True

        return SimpleNamespace(parse=parse, num_errors=0)


class _Network:
    def read(self, model: bytes, path: str) -> None:
        self.graph = model
        read = onnx.load_from_string(model)
        onnx.load_external_data_for_model(read, str(Path(path).parent))
        self._inputs = [_Input(value) for value in read.graph.input]
        self.num_inputs = len(self._inputs)

    def get_input(self, index: int) -> _Input:
        return self._inputs[index]


class _Input:
    def __init__(self, value: onnx.ValueInfoProto) -> None:
        self.name, self._axes = value.name, value.type.tensor_type.shape.dim
        self.shape = [-1 if axis.dim_param else axis.dim_value for axis in self._axes]

    def get_dimension_name(self, axis: int) -> str:
        return self._axes[axis].dim_param


class _Config:
    def __init__(self, trt: FakeBuildingTensorRt) -> None:
        self._trt, self._timings = trt, b""
        self.workspace: int | None = None
        self.profiles: list[dict[str, Any]] = []

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        assert pool == self._trt.MemoryPoolType.WORKSPACE
        self.workspace = size

    def add_optimization_profile(self, profile: Any) -> None:
        self.profiles.append(profile.shapes)

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, content: bytes, ignore_mismatch: bool) -> bool:
        taken = not content or content.startswith(self._trt.gpu.encode())
        if taken or ignore_mismatch:
            self._timings = content
        return taken

    def get_timing_cache(self) -> Any:
        learnt = (self._timings or self._trt.gpu.encode()) + b"+"
        return SimpleNamespace(serialize=lambda: learnt)


class _Builder:
    def __init__(self, trt: FakeBuildingTensorRt, log: Any) -> None:
        self._trt, self._log = trt, log

    def create_network(self, flags: int) -> _Network:
        assert flags == 1 << self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config(self._trt)

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(
            shapes=shapes, set_shape=lambda name, *bounds: shapes.update({name: bounds})
        )

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        trt = self._trt
        trt.workspaces.append(config.workspace)
        trt.timings.append(config._timings)
        if (config.workspace or GIGABYTE) > trt.memory:
            self._log.log(trt.ILogger.ERROR, "[defaultAllocator.cpp::allocate] out of memory")
            return None
        config.progress_monitor.phase_start("Building", None, 1)
        config.progress_monitor.step_complete("Building", 0)
        return fake_plan(network.graph, trt.__version__, trt.gpu)
