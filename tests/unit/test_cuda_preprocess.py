"""Preprocessing on the GPU that stands for one: the kernel's own code, in a stream."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import cuda_kernel
import numpy as np
import pytest
from fake_gpu import a_gpu, nano_with_engines
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeKernels, FakeTensorRt

from ftsdk._native.cuda import CudaKernels
from ftsdk.analyzer import Analyzer
from ftsdk.engines import cuda_preprocess, loading
from ftsdk.engines.contract import DeviceTensor
from ftsdk.engines.cuda_preprocess import CudaPreprocessing, load_kernels
from ftsdk.errors import ArrayError, EngineLoadError, EngineRunError
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing

PICTURE = Path(__file__).parents[2] / "examples" / "pictures" / "portrait_forged.jpg"
PREPROCESSING = Preprocessing(96, CLIP_MEAN, CLIP_STD)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cuda_kernel.for_the_cpu(tmp_path_factory.mktemp("kernel"))


@pytest.fixture
def cuda() -> Iterator[FakeCuda]:
    cuda = FakeCuda()
    yield cuda
    gc.collect()
    assert cuda.held == {}
    assert cuda.faults == []


@pytest.fixture
def on_gpu(library: Path, cuda: FakeCuda) -> Iterator[CudaPreprocessing]:
    preprocessing = CudaPreprocessing(PREPROCESSING, FakeKernels(library, cuda), cuda)
    yield preprocessing
    preprocessing.close()


def test_it_equals_the_cpu_s_for_one_picture_after_the_other(on_gpu: CudaPreprocessing) -> None:
    random = np.random.default_rng(0)
    for shape in ((40, 60), (300, 200), (500, 90), (7, 9)):
        whole = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
        for picture in (whole, whole[::-1, ::2]):
            found = on_gpu.pixel_values(picture)
            assert isinstance(found, DeviceTensor)
            np.testing.assert_array_equal(found, PREPROCESSING.pixel_values(picture))


def test_it_refuses_what_the_cpu_refuses_and_names_a_failure(
    on_gpu: CudaPreprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArrayError):
        on_gpu.pixel_values(np.zeros((8, 8), np.uint8))
    monkeypatch.setattr(FakeKernels, "resize_normalise", lambda *_: 209)
    with pytest.raises(EngineRunError, match="209"):
        on_gpu.pixel_values(np.zeros((8, 8, 3), np.uint8))


def test_nano_answers_the_same_with_its_pictures_preprocessed_on_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Path, cuda: FakeCuda
) -> None:
    bundle = nano_with_engines(tmp_path)
    a_gpu(monkeypatch, FakeTensorRt(), cuda)
    monkeypatch.setattr(loading, "load_kernels", lambda: FakeKernels(library, cuda))
    with Analyzer(bundle.path, device="cuda") as on_gpu, Analyzer(device="cpu") as on_cpu:
        pixels = np.zeros((5, 5, 3), np.uint8)
        assert isinstance(on_gpu.stages.pixel_values(pixels), DeviceTensor)
        found = on_gpu.analyze(PICTURE, report=False)
        expected = on_cpu.analyze(PICTURE, report=False)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_a_library_that_cannot_be_loaded_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "cuda_kernels.so"
    monkeypatch.setattr(cuda_preprocess, "LIBRARY", library)
    assert load_kernels() is None
    library.write_bytes(b"no library")
    monkeypatch.setattr(cuda_preprocess, "CudaKernels", lambda: CudaKernels(library))
    with pytest.raises(EngineLoadError) as caught:
        load_kernels()
    assert "FTSDK_CUDA" in caught.value.cure
