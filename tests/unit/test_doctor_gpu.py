"""What the doctor says of GPUs: of stand-ins, and of back ends that claim one and have none."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from fake_driver import FakeDriver

from ftsdk.doctor import backends, hardware
from ftsdk.engines import tensorrt
from ftsdk.engines.onnxruntime import load_runtime
from ftsdk.errors import DeviceUnavailableError, EngineAnswerError, EngineRunError
from ftsdk.trust import NANO

GRAPH = NANO / "graphs" / "mask_decoder.onnx"
ORIN = SimpleNamespace(major=8, minor=7, name=b"Orin\0", totalGlobalMem=8 << 30)


def a_gpu(monkeypatch: pytest.MonkeyPatch, driver: FakeDriver, count: int = 1) -> None:
    """Let the checks find GPUs."""
    runtime = SimpleNamespace(
        cudaGetDeviceCount=lambda: (0, count), cudaGetDeviceProperties=lambda _: (0, ORIN)
    )
    monkeypatch.setattr(hardware, "has_cuda_bindings", lambda: True)
    monkeypatch.setattr(tensorrt, "cuda", lambda: runtime)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", driver)


def test_a_gpu_is_described_and_has_launched_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu(monkeypatch, FakeDriver())
    found = hardware.check_gpu(0)
    assert found.faults == []
    assert found.facts["GPU 0"] == "Orin, sm_87, 8.6 GB"
    assert found.facts["kernel"].startswith("launched; 1024")


@pytest.mark.parametrize(
    ("index", "driver", "kind"),
    [
        (1, FakeDriver(), DeviceUnavailableError),
        (0, FakeDriver(step=2.0), EngineAnswerError),
        (0, FakeDriver(failing="cuModuleLoadData"), EngineRunError),
    ],
)
def test_a_gpu_that_is_missing_wrong_or_broken_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, index: int, driver: FakeDriver, kind: type[Exception]
) -> None:
    a_gpu(monkeypatch, driver)
    (fault,) = hardware.check_gpu(index).faults
    assert isinstance(fault, kind)


def test_no_gpu_is_a_fact_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu(monkeypatch, FakeDriver(), count=0)
    found = hardware.check_gpu(0)
    assert found.faults == []
    assert found.facts["CUDA"].startswith("none")


def test_an_onnx_runtime_that_only_claims_cuda_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """As onnxruntime-gpu without CUDA's libraries does: it lists the provider and falls back."""
    runtime = load_runtime()
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    assert "ftsdk[gpu]" in backends.check_onnxruntime(GRAPH, "cuda:0").facts["cuda"]
    claimed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    opened = runtime.InferenceSession

    def falling_back(path: str, options: object, **_: object) -> object:
        return opened(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(runtime, "get_available_providers", lambda: claimed)
    monkeypatch.setattr(runtime, "InferenceSession", falling_back)
    found = backends.check_onnxruntime(GRAPH, "cuda:0")
    (fault,) = found.faults
    assert fault.found == "the session fell back to CPUExecutionProvider"
    assert found.facts["cpu"].startswith("a session opened")


@pytest.mark.skipif(hardware.has_gpu(), reason="a GPU is here")
def test_a_tensorrt_that_cannot_use_the_gpu_is_a_fault() -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    faults = backends.check_tensorrt(gpu_here=True).faults
    assert any("tensorrt_rtx" in fault.what for fault in faults)
    assert all("driver" in fault.found and "--device cpu" in fault.cure for fault in faults)
