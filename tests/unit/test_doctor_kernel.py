"""The GPU check's kernel: its calls, what it makes of their failures, and its PTX."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from fake_driver import FakeDriver

from ftsdk.doctor.kernel import PTX, launch_kernel
from ftsdk.errors import EngineAnswerError, EngineRunError


def test_every_number_comes_back_right_and_nothing_is_kept() -> None:
    driver = FakeDriver()
    assert launch_kernel(driver, 0) == 1024
    assert driver.held == 0
    assert driver.current == 0


def test_a_gpu_that_adds_wrongly_is_found() -> None:
    driver = FakeDriver(step=1.5)
    with pytest.raises(EngineAnswerError, match="wrong numbers"):
        launch_kernel(driver, 0)
    assert driver.held == 0


@pytest.mark.parametrize(
    "function",
    [
        "cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuModuleLoadData", "cuMemAlloc",
        "cuModuleGetFunction", "cuLaunchKernel", "cuCtxSynchronize", "cuMemcpyDtoH",
    ],
)  # fmt: skip
def test_a_refused_call_is_named(function: str) -> None:
    with pytest.raises(EngineRunError, match=function) as caught:
        launch_kernel(FakeDriver(failing=function), 0)
    assert "999" in caught.value.found


def test_without_a_driver_library_the_first_call_is_named() -> None:
    driver = pytest.importorskip("cuda.bindings.driver")
    try:
        driver.cuInit(0)
    except RuntimeError:
        with pytest.raises(EngineRunError, match="cuInit"):
            launch_kernel(driver, 0)
    else:
        assert launch_kernel(driver, 0) == 1024


@pytest.mark.parametrize("gpu", ["sm_75", "sm_86", "sm_87", "sm_89", "sm_90", "sm_120"])
def test_the_assembler_takes_the_kernel_for_every_gpu(gpu: str, tmp_path: Path) -> None:
    assembler = shutil.which("ptxas")
    if assembler is None:
        pytest.skip("ptxas is not installed")
    subprocess.run([assembler, "-arch", gpu, PTX, "-o", tmp_path / "add.cubin"], check=True)
