"""The PyInstaller hooks bring what no import shows, and let a frozen program decode apart."""

from __future__ import annotations

import ast
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from picture_files import encoded

import ftsdk
from ftsdk import _HOMES
from ftsdk._pyinstaller import hook_directories
from ftsdk.imaging.decode import decode

# Installed beside the tests, and of no use to the program below.
_LEFT_OUT = (
    *("PIL", "av", "c2pa", "cryptography", "fsspec", "matplotlib", "onnxruntime", "pi_heif"),
    *("pyarrow", "pydantic", "rich", "scipy", "setuptools", "tokenizers", "torch", "typer"),
)
_PROGRAM = """
import os, pathlib, sys
from contextlib import closing
from functools import partial
from ftsdk.imaging.decode import decode
from ftsdk.imaging.isolation import DecoderPool
from ftsdk.stopwatch import Stopwatch

with closing(DecoderPool()) as pool:
    print(decode(sys.argv[1], file_decoder=partial(pool.decode, watch=Stopwatch())).pixels.shape)
    me = os.getpid()
    for child in pathlib.Path(f"/proc/self/task/{me}/children").read_text().split():
        print(pathlib.Path(f"/proc/{child}/cmdline").read_text().split(chr(0))[1])
"""


def test_the_hook_collects_the_bundle_the_kernels_and_lazy_modules() -> None:
    pytest.importorskip("PyInstaller")
    (folder,) = hook_directories()
    hook = runpy.run_path(str(Path(folder) / "hook-ftsdk.py"))
    files = {Path(source).name for source, _ in hook["datas"]}
    assert {"manifest.json", "vision_encoder.onnx", "report.css"} <= files
    assert any("models/nano/graphs" in Path(target).as_posix() for _, target in hook["datas"])
    modules = {*hook["hiddenimports"]}
    assert {"ftsdk._native.kernels", "ftsdk.analyzer", *_HOMES.values()} <= modules
    assert not any(name.startswith("ftsdk.serve") for name in modules)


def test_the_runtime_hook_is_there() -> None:
    (folder,) = hook_directories()
    (name,) = ast.literal_eval((Path(folder) / "rthooks.dat").read_text())["ftsdk"]
    assert (Path(folder) / "rthooks" / name).is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="decoding apart is for Linux")
def test_a_frozen_program_decodes_in_a_process_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("PyInstaller")
    (tmp_path / "program.py").write_text(_PROGRAM)
    (tmp_path / "picture.png").write_bytes(encoded("png"))
    # PyInstaller sees no editable installation.
    options = ["--paths", str(Path(ftsdk.__file__).parents[1])]
    options += [option for name in _LEFT_OUT for option in ("--exclude-module", name)]
    build = [sys.executable, "-m", "PyInstaller", "--log-level", "ERROR", *options, "program.py"]
    caches = {"PYINSTALLER_CONFIG_DIR": str(tmp_path / "cache")}
    subprocess.run(build, cwd=tmp_path, env={**os.environ, **caches}, check=True)
    program = [tmp_path / "dist" / "program" / "program", tmp_path / "picture.png"]
    ran = subprocess.run(program, env={}, capture_output=True, text=True, check=True, timeout=300)
    height, width = decode(encoded("png")).pixels.shape[:2]
    assert ran.stdout.splitlines() == [f"({height}, {width}, 3)", "--ftsdk-decode"]
