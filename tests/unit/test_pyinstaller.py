"""The PyInstaller hook brings what no import shows: data, kernels, and modules named by text."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ftsdk import _HOMES
from ftsdk._pyinstaller import hook_directories


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
