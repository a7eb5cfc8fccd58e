"""The CUDA kernel compiled for GPUs, or for this processor, where its threads run in turn."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NATIVE = ROOT / "sdk" / "ftsdk" / "_native"


def for_the_cpu(folder: Path) -> Path:
    """Compile resample.cu as C++; skips where there is no compiler."""
    flags = ["-x", "c++", "-O2", "-ffp-contract=off", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    return _compiled("c++", folder, *flags, "-I", str(ROOT / "tests" / "cuda_on_cpu"))


def for_gpus(folder: Path) -> Path:
    """Compile resample.cu as CMakeLists.txt does; skips where there is no nvcc."""
    flags = ["--fmad=false", "-arch=sm_80", "-Xcompiler", "-fPIC,-Wall,-Wextra"]
    return _compiled("nvcc", folder, *flags, "-Werror", "all-warnings")


def _compiled(compiler: str, folder: Path, *flags: str) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    library = folder / f"cuda_kernels_{compiler}.so"
    command = [compiler, *flags, "-std=c++17", "-shared", "-I", str(NATIVE)]
    subprocess.run(
        [*command, str(NATIVE / "resample.cu"), "-o", str(library)], check=True, timeout=300
    )
    return library
