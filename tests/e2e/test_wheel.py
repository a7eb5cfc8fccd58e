"""An ordinary install works: the wheel holds the native module, the stubs and the data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", "build", "*.egg-info", "*.so", "__pycache__", ".*_cache", "tests"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("source") / "ftsdk"
    shutil.copytree(ROOT, copy, ignore=NOT_SOURCE)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": scripts + os.pathsep + os.environ["PATH"]}
    subprocess.run([*pip, "-w", str(target), str(source)], check=True, env=environment)
    (built,) = target.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_holds_everything(source: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "ftsdk/py.typed" in names
    assert "ftsdk/_native/kernels.pyi" in names
    assert any(name.startswith("ftsdk/_native/kernels.") and "pyi" not in name for name in names)
    assert not any(name.endswith((".cpp", ".h")) for name in names)
    modules = {
        path.relative_to(source / root).as_posix()
        for root in ("sdk", "export", "calibration", "training")
        for path in (source / root).rglob("*")
        if path.suffix in {".py", ".json"}
        and path.relative_to(source / root).parts[0].startswith("ft")
    }
    assert modules <= names


@pytest.mark.slow
def test_installed_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*pip, str(tmp_path), str(wheel)], check=True)
    script = (
        "import ftsdk, numpy\n"
        "from ftsdk.imaging.preprocess import Preprocessing\n"
        "pixels = numpy.zeros((30, 40, 3), numpy.uint8)\n"
        "print(Preprocessing(8, (0, 0, 0), (1, 1, 1)).pixel_values(pixels).shape)\n"
        "print(ftsdk.__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    shape, home = done.stdout.splitlines()
    assert shape == "(1, 3, 8, 8)"
    assert Path(home).parent == tmp_path / "ftsdk"
