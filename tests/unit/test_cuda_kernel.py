"""The CUDA kernel writes what the C++ one does, byte for byte; its threads run on the CPU here."""

from __future__ import annotations

from pathlib import Path

import cuda_kernel
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ftsdk._native.cuda import CudaKernels
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing

# Canaries around what a kernel may write.
GUARD = 64

sides = st.one_of(st.integers(1, 9), st.integers(1, 300))


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> CudaKernels:
    return CudaKernels(cuda_kernel.for_the_cpu(tmp_path_factory.mktemp("kernel")))


def guarded(size: int) -> NDArray[np.uint8]:
    return np.full(size + 2 * GUARD, 0xA5, np.uint8)


def untouched(memory: NDArray[np.uint8]) -> bool:
    return bool((memory[:GUARD] == 0xA5).all() and (memory[-GUARD:] == 0xA5).all())


def run(kernels: CudaKernels, picture: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    height, width = picture.shape[:2]
    scratch = guarded(kernels.scratch_bytes(height, width, size))
    output = guarded(3 * size * size * 4)
    inside = [memory.ctypes.data + GUARD for memory in (scratch, output)]
    statistics = (CLIP_MEAN, CLIP_STD)
    status = kernels.resize_normalise(
        picture.ctypes.data, (height, width), size, statistics, *inside, 0
    )
    assert status == 0
    assert untouched(scratch)
    assert untouched(output)
    return output[GUARD:-GUARD].view(np.float32).reshape(1, 3, size, size)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, size=st.sampled_from((1, 2, 7, 16, 33, 96)))
@example(height=1, width=1, size=224)
@example(height=1, width=1500, size=224)
@example(height=900, width=17, size=100)
@example(height=449, width=224, size=224)
@example(height=224, width=224, size=224)
@example(height=601, width=703, size=384)
def test_equals_the_cpu_kernel(kernels: CudaKernels, height: int, width: int, size: int) -> None:
    seed = np.random.default_rng(height * 1000 + width)
    picture = seed.integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = Preprocessing(size, CLIP_MEAN, CLIP_STD).pixel_values(picture)
    np.testing.assert_array_equal(run(kernels, picture, size), expected)


def test_nvcc_compiles_it_and_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    built = CudaKernels(cuda_kernel.for_gpus(tmp_path))
    assert built.scratch_bytes(400, 600, 224) > 3 * 400 * 224
    if Path("/dev/nvidiactl").exists():
        pytest.skip("compiled; the GPU that is here would take addresses of 0 at their word")
    status = built.resize_normalise(0, (400, 600), 224, (CLIP_MEAN, CLIP_STD), 0, 0, 0)
    assert status != 0
