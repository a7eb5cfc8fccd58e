"""CUDA preprocessing against the CPU's: every bit, and the time of both."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gpu_outcome import Failed, Figures, Skipped
from gpu_place import FAKE, ROOT, gpu_or_none
from numpy.typing import NDArray

from ftsdk._native.cuda import LIBRARY, CudaKernels
from ftsdk.engines.device_memory import CudaTensor, Stream, allocate, call
from ftsdk.engines.fake_cuda import FakeCuda
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing

SETTINGS = Preprocessing(384, CLIP_MEAN, CLIP_STD)
#: Height and width of the noise that is squashed, px: larger and smaller than the square, and both.
SHAPES = ((1080, 1920), (384, 384), (37, 2000), (61, 43))
_REPETITIONS = 20


def preprocessing(folder: Path) -> tuple[str, Figures]:
    """Squash pictures of noise on the GPU, or in turns on the host, and on the CPU."""
    gpu = gpu_or_none()
    kernels = CudaKernels(_library(folder, on_gpu=gpu is not None))
    squash = _OnDevice(kernels, _cuda() if gpu else FakeCuda())
    figures: Figures = {}
    for height, width in SHAPES:
        noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        found, expected = squash(noise), SETTINGS.pixel_values(noise)
        wrong = int((found != expected).sum())
        if wrong:
            raise Failed(f"{wrong} of {expected.size} numbers of a {height} x {width} px picture")
        if gpu:
            figures[f"{height} x {width} px, ms with upload"] = _milliseconds(squash, noise)
        figures[f"{height} x {width} px, ms on the CPU"] = _milliseconds(
            SETTINGS.pixel_values, noise
        )
    return gpu or FAKE, figures


class _OnDevice:
    """`Preprocessing.pixel_values` by the CUDA kernel, upload and download included."""

    def __init__(self, kernels: CudaKernels, cuda: Any) -> None:
        self._kernels, self._cuda, self._stream = kernels, cuda, Stream(cuda)
        self._tensors: dict[str, CudaTensor] = {}

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = picture.shape[:2]
        tensors = self._memory(height, width)
        self._stream.copy(
            tensors["picture"].address, picture.ctypes.data, picture.nbytes, to_device=True
        )
        self._stream.synchronise()  # the host's stand-in for the kernel waits for no stream
        status = self._kernels.resize_normalise(
            tensors["picture"].address, (height, width), SETTINGS.size,
            (SETTINGS.mean, SETTINGS.std), tensors["scratch"].address,
            tensors["output"].address, int(self._stream.handle),
        )  # fmt: skip
        if status:
            raise Failed(f"the kernel was refused with CUDA error {status}")
        self._stream.synchronise()
        output = np.empty(tensors["output"].shape, np.float32)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        source = tensors["output"].address
        call(self._cuda, "cudaMemcpy", output.ctypes.data, source, output.nbytes, kind)
        return output

    def _memory(self, height: int, width: int) -> dict[str, CudaTensor]:
        """Return memory for a picture of this size, which is kept for the next one."""
        if not self._tensors or self._tensors["picture"].shape[:2] != (height, width):
            side = SETTINGS.size
            scratch = self._kernels.scratch_bytes(height, width, side)
            shapes = {"picture": (height, width, 3), "scratch": (scratch,)}
            shapes["output"] = (1, 3, side, side)
            types = dict.fromkeys(shapes, np.dtype(np.uint8)) | {"output": np.dtype(np.float32)}
            self._tensors = allocate(self._cuda, shapes, types)
        return self._tensors


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
