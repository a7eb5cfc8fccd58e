"""A bundle's graphs to TensorRT or TensorRT-RTX plans, for named GPUs or for the one that is here.

Only what TensorRT 10, 11 and TensorRT-RTX share is used: strongly typed networks, explicit QDQ.
TensorRT-RTX builds for another GPU than the one that is here, and for none at all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ft_export.errors import EngineBuildError
from ft_export.tensorrt.build_progress import BuildMonitor, Steps
from ft_export.tensorrt.timings import Timings
from ftsdk.bundle import Bundle
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.plans import engine_keys
from ftsdk.engines.profile import Axis, profile_of
from ftsdk.engines.tensorrt import load_tensorrt, runtime_name, this_gpu
from ftsdk.errors import OptionError
from ftsdk.verified import BundleGraph

#: The GPU that is here, in `--engines this`.
THIS = "this"
_TARGET = re.compile(r"sm_(\d{2,3})")
#: Bytes that a build takes at its peak: a base, and so many for each byte of a graph. Measured with
#: TensorRT-RTX 1.7 (docs/engines.md): 0.4 GB, and up to 4.0 times a graph of 0.9 GB in int4.
BASE_BYTES, BYTES_A_BYTE = 600 << 20, 4.0
#: Scratch memory on the GPU that a build may plan with; the next smaller one after a failure.
WORKSPACES = (None, 1 << 30, 256 << 20)


@dataclass(frozen=True)
class Built:
    """A plan that is in the cache now.

    Attributes:
        target: the GPU, as `sm_89`.
        seconds: how long the build took; 0 where the plan was there already.
    """

    stage: str
    target: str
    precision: str
    size: int
    seconds: float


@dataclass(frozen=True)
class Target:
    """A GPU to build for, and what is known of its kernels.

    Attributes:
        gpu: as plans name it.
        capability: TensorRT-RTX's member for it; None for the GPU that is here.
    """

    module: ModuleType
    gpu: str
    capability: Any
    timings: Timings = field(default_factory=Timings)

    @property
    def runtime(self) -> str:
        """The TensorRT that builds, with its full version."""
        return runtime_name(self.module)


def build_engines(
    bundle: Bundle, targets: Sequence[str], steps: Steps, cache: EngineCache | None = None
) -> Iterator[Built]:
    """Build every stage for every target into the bundle's cache, and yield each plan.

    Args:
        bundle: a verified bundle.
        targets: `sm_86` and the like, or `this`.
        steps: is told how far a build is.
        cache: where plans go; None is the directory beside the bundle.

    Raises:
        OptionError: a target that the installed TensorRT cannot build for.
        EngineNotInstalledError: no TensorRT.
        EngineBuildError: a graph was refused, or would not fit into memory.
        BundleFileAlteredError: a file of the bundle is another now.
    """
    cache = cache or EngineCache.beside(bundle)
    profile = profile_of(bundle)
    for target in [find_target(name) for name in targets]:
        target.timings.content = cache.load_timings(target.runtime, target.gpu)
        for stage, key in engine_keys(bundle, target.runtime, target.gpu).items():
            known = next((record for record in cache.records() if record.key == key), None)
            if known is None:
                start = time.perf_counter()
                plan = build_plan(bundle.graph(stage), profile, target, steps, stage)
                known = cache.store(key, plan, round(time.perf_counter() - start, 2))
                cache.store_timings(target.runtime, target.gpu, target.timings.content)
                spent = known.build_seconds
            else:
                spent = 0.0
            yield Built(stage, target.gpu, key.precision, known.size, spent)


def find_target(name: str) -> Target:
    """Return the GPU to build for that a name means: `sm_89`, or `this` for the one that is here.

    Raises:
        OptionError: no target of that name.
        EngineNotInstalledError: the TensorRT that it needs is missing.
        DeviceUnavailableError: `this`, and no GPU.
    """
    if name == THIS:
        module = load_tensorrt()
        return Target(module, this_gpu(module), None)
    found = _TARGET.fullmatch(name)
    module = load_tensorrt("tensorrt_rtx")
    members = module.ComputeCapability.__members__
    capability = members.get(f"SM{found[1]}") if found else None
    if capability is None:
        known = ", ".join(f"sm_{n[2:]}" for n in members if n.startswith("SM"))
        raise OptionError(
            f"{runtime_name(module)} cannot build for {name}",
            expected=f"{known}, or {THIS}",
            found=name,
            cure="on the device itself, run: ft-export BUNDLE --engines this",
        )
    return Target(module, name, capability)


def build_plan(
    graph: BundleGraph, profile: Mapping[str, Axis], target: Target, steps: Steps, stage: str
) -> Any:
    """Build one stage's graph into a plan for a GPU, and return its bytes.

    TensorRT gets the bytes that were hashed. Weights beside them it reads by their path, whose file
    must be the one that was hashed, unwritten, before and after.

    Where the GPU's memory is short, the build is tried again with less workspace.

    Raises:
        EngineBuildError: TensorRT refused, or the build would not fit into memory.
        BundleFileAlteredError: weights beside the graph are not those that were hashed.
    """
    require_memory(graph)
    log = _log(target.module)
    for workspace in WORKSPACES:
        monitor = BuildMonitor(steps, stage)
        with graph.weights.opened() if graph.weights else nullcontext():
            plan = _attempt(graph, profile, target, log, workspace, monitor)
        if plan is not None:
            return plan
        if not log.out_of_memory:
            break
    raise EngineBuildError(
        f"{target.runtime} built no engine of {stage} for {target.gpu}",
        expected=f"a graph that {target.gpu} can run",
        found=log.last() or "no reason given",
        cure="export with another --encoders or --language precision, or build for another GPU",
    )


def require_memory(graph: BundleGraph) -> None:
    """Raise EngineBuildError if the build's estimated peak exceeds what is free."""
    beside = graph.weights.seal.size if graph.weights else 0
    needed, free = BASE_BYTES + BYTES_A_BYTE * (len(graph.content) + beside), available_bytes()
    if needed > free:
        raise EngineBuildError(
            f"building {graph.name} would not fit into this machine's memory",
            expected=f"about {needed / 1e9:.1f} GB free",
            found=f"{free / 1e9:.1f} GB",
            cure="close other programs, or build on a machine with more memory",
        )


def available_bytes() -> int:
    """Return how much memory programs can still take without swapping (Linux)."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    raise AssertionError("Linux names MemAvailable")


def _attempt(
    graph: BundleGraph, profile: Mapping[str, Axis], target: Target, log: Any,
    workspace: int | None, monitor: BuildMonitor,
) -> Any:  # fmt: skip
    trt = target.module
    builder = trt.Builder(log)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, log)
    # A graph that refers to files all the same finds none, nor any in the working directory.
    beside = str(graph.weights.path) if graph.weights else f"{os.devnull}/none"
    if not parser.parse(graph.content, beside):
        log.note("; ".join(parser.get_error(i).desc() for i in range(parser.num_errors)))
        return None
    config = builder.create_builder_config()
    if target.capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(target.capability, 0)
    if workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    config.progress_monitor = monitor.of(trt)
    config.add_optimization_profile(_shapes(builder, network, profile))
    target.timings.attach(trt, config)
    try:
        plan = builder.build_serialized_network(network, config)
    except RuntimeError as error:
        log.note(str(error))
        return None
    target.timings.keep(trt, config)
    return plan


def _shapes(builder: Any, network: Any, profile: Mapping[str, Axis]) -> Any:
    shapes = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        value = network.get_input(index)
        axes = [
            profile[value.get_dimension_name(axis)] if size == -1 else (size,) * 3
            for axis, size in enumerate(value.shape)
        ]
        if -1 in tuple(value.shape):
            shapes.set_shape(value.name, *(list(bound) for bound in zip(*axes, strict=True)))
    return shapes


def _log(trt: ModuleType) -> Any:
    """Return a logger that keeps TensorRT's errors; its base class is the module's own."""

    class Log(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.note(message)

        def note(self, message: str) -> None:
            self.errors.append(" ".join(message.split()))

        def last(self) -> str:
            return "; ".join(dict.fromkeys(self.errors))[:600]

        @property
        def out_of_memory(self) -> bool:
            text = " ".join(self.errors).lower()
            return "out of memory" in text or "outofmemory" in text or "workspace" in text

    return Log()
