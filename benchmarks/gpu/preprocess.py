"""CUDA preprocessing against the CPU's: every bit, and the time of both."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeKernels

from benchmarks.gpu.outcome import Failed, Figures, Skipped
from benchmarks.gpu.place import FAKE, ROOT, gpu_or_none
from ftsdk._native.cuda import LIBRARY, CudaKernels
from ftsdk.engines.cuda_preprocess import CudaPreprocessing
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing

SETTINGS = Preprocessing(384, CLIP_MEAN, CLIP_STD)
#: Height and width of the noise that is squashed, px: larger and smaller than the square, and both.
SHAPES = ((1080, 1920), (384, 384), (37, 2000), (61, 43))
_REPETITIONS = 20


def preprocessing(folder: Path) -> tuple[str, Figures]:
    """Squash pictures of noise on the GPU, or in turns on the host, and on the CPU."""
    gpu = gpu_or_none()
    library = _library(folder, on_gpu=gpu is not None)
    cuda = _cuda() if gpu else FakeCuda()
    kernels = CudaKernels(library) if gpu else FakeKernels(library, cuda)
    squash = CudaPreprocessing(SETTINGS, kernels, cuda).pixel_values
    figures: Figures = {}
    for height, width in SHAPES:
        noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        found, expected = np.asarray(squash(noise)), SETTINGS.pixel_values(noise)
        wrong = int((found != expected).sum())
        if wrong:
            raise Failed(f"{wrong} of {expected.size} numbers of a {height} x {width} px picture")
        if gpu:
            figures[f"{height} x {width} px, ms with upload"] = _milliseconds(squash, noise)
        figures[f"{height} x {width} px, ms on the CPU"] = _milliseconds(
            SETTINGS.pixel_values, noise
        )
    return gpu or FAKE, figures


def _library(folder: Path, on_gpu: bool) -> Path:
    """Return the kernel's library: the installed one, or one that is compiled now."""
    if on_gpu and LIBRARY.exists():
        return LIBRARY
    compiler, flags = "nvcc", ["--fmad=false", "-arch=native", "-Xcompiler", "-fPIC"]
    if not on_gpu:  # the same source, whose threads run in turn
        compiler = "c++"
        flags = ["-x", "c++", "-O2", "-ffp-contract=off", "-fPIC"]
        flags += ["-I", str(ROOT / "tests" / "cuda_on_cpu")]
    if shutil.which(compiler) is None:
        raise Skipped(f"ftsdk was built without CUDA kernels, and there is no {compiler}")
    native, library = LIBRARY.parent, folder / "cuda_kernels.so"
    command = [compiler, *flags, "-std=c++17", "-shared", "-I", str(native)]
    command += [str(native / "resample.cu"), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{compiler} refused resample.cu: {done.stderr[:400]}")
    return library


def _cuda() -> Any:
    from ftsdk.engines.tensorrt import cuda

    return cuda()


def _milliseconds(squash: Callable[[Any], object], picture: NDArray[np.uint8]) -> float:
    times = []
    for _ in range(_REPETITIONS):
        start = time.perf_counter()
        squash(picture)
        times.append(time.perf_counter() - start)
    return round(1e3 * float(np.median(times)), 3)
