"""What each back end does when it is asked to, whatever it says that it can."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.doctor.findings import Findings
from ftsdk.errors import (
    DeviceUnavailableError,
    EngineAnswerError,
    EngineLoadError,
    EngineNotInstalledError,
    EngineRunError,
    PackageBrokenError,
)
from ftsdk.verified import BundleGraph


def check_onnxruntime(graph: Path | BundleGraph, cuda_device: str | None) -> Findings:
    """Open a graph on the CPU and on CUDA, and compare the device that each session got.

    Args:
        graph: a small one.
        cuda_device: `cuda:N` where there is a GPU to try, else None.
    """
    from ftsdk.engines.onnxruntime import OnnxRuntimeEngine, load_runtime

    found = Findings("ONNX Runtime")
    with found.collecting("import"):
        runtime = load_runtime()
        found.facts["version"] = str(runtime.__version__)
        compiled = runtime.get_available_providers()
        found.facts["compiled in"] = ", ".join(compiled)
        with found.collecting("cpu"):
            OnnxRuntimeEngine(graph, "cpu").close()
            found.facts["cpu"] = "a session opened, and stayed there"
        if cuda_device is None:
            found.facts["cuda"] = "not tried: no GPU, or another device was asked for"
        elif "CUDAExecutionProvider" not in compiled:
            found.facts["cuda"] = 'not compiled in; "ftsdk[gpu]" has it'
        else:
            with found.collecting(cuda_device):
                OnnxRuntimeEngine(graph, cuda_device).close()
                found.facts[cuda_device] = "a session opened, and stayed there"
    return found


def check_providers() -> Findings:
    """List the devices that each installed execution provider offers, or why it offers none.

    A provider that cannot be used is a fault only for who asks for it: see the golden picture.
    """
    from ftsdk.engines.onnxruntime import load_runtime
    from ftsdk.engines.provider import devices_of, installed_providers

    found = Findings("execution providers")
    for name, package in sorted(installed_providers().items()):
        try:
            offered = devices_of(package, load_runtime())
        except DeviceUnavailableError as error:
            found.facts[name] = f"{package.distribution} {package.version}: {error.found}"
            continue
        except EngineNotInstalledError as error:
            found.add(name, error)
            continue
        found.facts[name] = f"{package.distribution} {package.version}: no device on this machine"
        for device in offered:
            found.facts.pop(name, None)
            found.facts[device.name] = str(device)
    if not found.facts:
        found.facts["installed"] = "none"
    return found


def check_tensorrt(gpu_here: bool) -> Findings:
    """Build a plan with each TensorRT that is installed, and run it on the GPU."""
    from ftsdk.engines.tensorrt import MODULES, cuda, load_tensorrt

    found = Findings("TensorRT back ends")
    for name in MODULES:
        try:
            module = load_tensorrt(name)
        except EngineNotInstalledError:
            found.facts[name] = "not installed, or does not load"
            continue
        if not gpu_here:
            found.facts[name] = f"{module.__version__} loads; nothing runs without a GPU"
            continue
        with found.collecting(name):
            run_small_plan(build_small_plan(module), module, cuda())
            found.facts[name] = f"{module.__version__} built a plan, and ran it right"
    return found


def build_small_plan(trt: Any, capability: Any = None) -> bytes:
    """Return a plan of `y = x + x`, [1, 64] float32.

    Args:
        trt: `tensorrt` or `tensorrt_rtx`.
        capability: another GPU's, as TensorRT-RTX has it; None is the GPU that is here.

    Raises:
        EngineRunError: TensorRT built nothing.
    """
    from ftsdk.engines.tensorrt_plan import error_log

    log = error_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    x = network.add_input("x", trt.float32, (1, 64))
    y = network.add_elementwise(x, x, trt.ElementWiseOperation.SUM).get_output(0)
    y.name = "y"
    network.mark_output(y)
    config = builder.create_builder_config()
    if capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _unsupported(trt, "; ".join(log.errors)[:400] or "no reason given")
    return bytes(plan)


def run_small_plan(plan: bytes, trt: Any, cuda: Any) -> None:
    """Run a plan of `build_small_plan`.

    Raises:
        EngineRunError: it was refused, or failed.
        EngineAnswerError: it added wrongly.
    """
    from ftsdk.engines.tensorrt import TensorRtEngine

    x = np.arange(64, dtype=np.float32)[None]
    try:
        engine = TensorRtEngine(plan, "a small plan", trt, cuda)
    except EngineLoadError as error:
        raise _unsupported(trt, error.found) from error
    try:
        y: NDArray[Any] = np.asarray(engine.infer({"x": x})["y"])
    finally:
        engine.close()
    if not np.array_equal(y, x + x):
        raise EngineAnswerError(
            f"{trt.__name__} {trt.__version__} calculates wrong numbers on this GPU",
            expected="x + x",
            found=f"a difference of up to {np.abs(y - x - x).max():g}",
            cure="install the TensorRT that NVIDIA lists for this GPU and driver",
        )


def _unsupported(trt: Any, found: str) -> EngineRunError:
    return EngineRunError(
        f"{trt.__name__} {trt.__version__} cannot use this GPU",
        expected="a GPU and a driver that this version supports",
        found=found,
        cure="install the TensorRT that NVIDIA lists for this GPU and driver, uninstall this one, "
        "or pass --device cpu",
    )


def check_native() -> Findings:
    """Run the C++ kernels: a picture of one colour, and AVX2 against portable code."""
    found = Findings("native kernels")
    try:
        kernels = importlib.import_module("ftsdk._native")
    except PackageBrokenError as error:
        found.add("import", error)
        return found
    found.facts["AVX2"] = "used" if kernels.avx2_available() else "not on this processor"
    with found.collecting("arithmetic"):
        _require_right(kernels)
        found.facts["arithmetic"] = "right"
    return found


def _require_right(kernels: Any) -> None:
    statistics = {"mean": (0.5, 0.25, 0.125), "std": (0.5, 0.25, 2.0)}
    mean, std = (np.array(values, np.float32) for values in statistics.values())

    def resized(picture: Any, portable: bool = False) -> Any:
        return kernels.resize_normalise(
            picture, size=24, reversed=True, portable=portable, **statistics
        )

    grey = np.full((37, 53, 3), 51, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (61, 43, 3), np.uint8)
    flat = np.empty((33, 29), np.float32)
    kernels.upsample(np.full((8, 8), 0.75, np.float32), flat)
    checks = {
        "one colour resized": np.allclose(resized(grey)[0].T, (0.2 - mean) / std, atol=1e-6),
        "AVX2 as portable": np.array_equal(resized(noise), resized(noise, portable=True)),
        "one value upsampled": np.allclose(flat, 0.75, atol=1e-6),
    }
    wrong = [name for name, right in checks.items() if not right]
    if wrong:
        raise EngineAnswerError(
            "the native kernels calculate wrong numbers",
            expected="what numpy calculates",
            found=f"another result: {', '.join(wrong)}",
            cure='build ftsdk again from its source: pip install --force-reinstall ".[cpu]"',
        )
