"""Machines without a working inference runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OPEN = """
import ftsdk
from ftsdk.errors import EngineNotInstalledError
try:
    ftsdk.Analyzer(r"{bundle}", device="{device}")
except EngineNotInstalledError as error:
    assert 'pip install "ftsdk[cpu]"' in error.cure and "ftsdk[gpu]" in error.cure, error
    assert "exactly one" in error.expected, error
    print(error.found)
"""


def opened(code: str, folder: Path, bundle: Path, device: str) -> str:
    """Run `code` with `folder` before every installed package and return what it prints."""
    run = (
        f"import sys; sys.path.insert(0, r'{folder}')\n{code.format(bundle=bundle, device=device)}"
    )
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_no_runtime_names_the_extra(mini_bundle: Path, tmp_path: Path, device: str) -> None:
    broken = "raise ModuleNotFoundError(\"No module named 'onnxruntime'\")"
    (tmp_path / "onnxruntime.py").write_text(broken)
    assert "No module named 'onnxruntime'" in opened(OPEN, tmp_path, mini_bundle, device)


def test_the_shell_that_an_uninstall_leaves_names_the_extra(
    mini_bundle: Path, tmp_path: Path
) -> None:
    """Removing one of two installed wheels takes the files that both share."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "capi").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("")
    assert "empty" in opened(OPEN, tmp_path, mini_bundle, "cpu")


def test_a_runtime_whose_libraries_do_not_load_names_the_extra(
    mini_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libcudart.so.12: cannot open')")
    assert "libcudart.so.12" in opened(OPEN, tmp_path, mini_bundle, "cpu")
