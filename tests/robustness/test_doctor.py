"""Faults that are made for real, and what `ft-doctor` says of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ftsdk.bundle import open_bundle, sha256_of
from ftsdk.cli.doctor import app
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.plans import engine_keys
from ftsdk.trust import NANO

Faults = dict[str, dict[str, str]]
OPTIONS = ("--json", "--device", "cpu")


def faults(*arguments: str | Path) -> Faults:
    """Run the command here and return its faults by class."""
    done = CliRunner().invoke(app, [*OPTIONS, *map(str, arguments)], catch_exceptions=False)
    return _by_class(done.stdout, done.exit_code)


def faults_afresh(first: Path, tools: Path) -> Faults:
    """Run the command in a fresh Python and return its faults by class.

    Args:
        first: a folder before every installed package.
        tools: a folder before every command.
    """
    places = [str(first), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(places),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }
    code = "from ftsdk.cli.doctor import main; main()"
    command = [sys.executable, "-c", code, *OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return _by_class(done.stdout, done.returncode)


def _by_class(printed: str, exit_code: int) -> Faults:
    document = json.loads(printed)
    found = [fault for check in document["checks"] for fault in check["faults"]]
    assert exit_code == (1 if found else 0)
    assert document["healthy"] is not bool(found)
    assert all(fault[name] for fault in found for name in ("what", "expected", "found", "cure"))
    return {fault["class"]: fault for fault in found}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(NANO, tmp_path / "nano.bundle"))


def twin(folder: Path) -> None:
    """Make metadata of an onnxruntime-gpu that was installed over the other one."""
    described = folder / "onnxruntime_gpu-1.31.1.dist-info"
    described.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.31.1\n"
    (described / "METADATA").write_text(metadata)
    (described / "RECORD").write_text("onnxruntime/__init__.py,,1\n")


def opencv_without_libgl(folder: Path) -> None:
    folder.mkdir()
    (folder / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object')")


def empty_runtime(folder: Path) -> None:
    (folder / "onnxruntime").mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").write_text("")


def no_tokenizers(folder: Path) -> None:
    folder.mkdir()
    (folder / "tokenizers.py").write_text("raise ImportError('tokenizers is broken')")


@pytest.mark.parametrize(
    ("break_it", "kind", "said"),
    [
        (twin, "PackageConflictError", "onnxruntime-gpu 1.31.1 in "),
        (opencv_without_libgl, "PackageBrokenError", "libGL.so.1"),
        (empty_runtime, "EngineNotInstalledError", "an empty onnxruntime package"),
        (no_tokenizers, "PackageBrokenError", "tokenizers is broken"),
    ],
)
def test_packages_that_are_broken_or_doubled(
    tmp_path: Path, break_it: Callable[[Path], None], kind: str, said: str
) -> None:
    break_it(tmp_path / "first")
    found = faults_afresh(tmp_path / "first", tmp_path)
    assert said in found[kind]["found"]
    assert "install" in found[kind]["cure"]


def test_a_driver_that_does_not_fit_its_kernel_module(tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    said = "Failed to initialize NVML: Driver/library version mismatch"
    tool.write_text(f"#!/bin/sh\necho '{said}'; exit 18\n")
    tool.chmod(0o755)
    found = faults_afresh(tmp_path, tmp_path)
    assert "version mismatch" in found["DeviceUnavailableError"]["found"]
    assert "reboot" in found["DeviceUnavailableError"]["cure"]


def test_a_bundle_with_one_altered_byte(bundle: Path) -> None:
    graph = bundle / "graphs" / "qformer.onnx"
    spoiled = bytearray(graph.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    graph.write_bytes(spoiled)
    fault = faults("--bundle", bundle)["BundleFileAlteredError"]
    assert "qformer.onnx" in fault["what"]
    assert "SHA-256" in fault["found"]


def test_a_chain_that_answers_something_else(bundle: Path) -> None:
    """Its hashes are right: only running it shows that it is another model."""

    def other_weights(manifest: dict[str, Any]) -> None:
        stored = bundle / manifest["golden_tensors"]
        with np.load(stored) as golden:
            tensors = dict(golden)
        np.savez(stored, **tensors | {"encoder_output": tensors["encoder_output"] * 1.1})
        entry = {"size": stored.stat().st_size, "sha256": sha256_of(stored)}
        manifest["files"][manifest["golden_tensors"]] = entry

    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    other_weights(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    fault = faults("--bundle", bundle)["EngineAnswerError"]
    assert fault["found"].startswith("encoder_output 0.09")
    assert "image_embeds" not in fault["found"]


def test_a_truncated_plan_swapped_plans_and_an_open_directory(bundle: Path) -> None:
    cache = EngineCache.beside(bundle)
    keys = [*engine_keys(open_bundle(bundle), "tensorrt 10.3.0", "sm_87 Orin").values()]
    for key in keys:
        cache.store(key, key.stage.encode() * 100, 1.0)
    first, second, third = (cache.folder / f"{key.name}.plan" for key in keys[:3])
    first.write_bytes(first.read_bytes()[:-1])
    fault = faults("--bundle", bundle)["EngineCacheError"]
    assert keys[0].stage in fault["what"]
    assert fault["cure"].startswith("run: ft-doctor --clear-engines --bundle")
    second.with_suffix(".json").write_bytes(third.with_suffix(".json").read_bytes())
    said = [error.found for error in cache.faults()]
    assert len(said) == 2
    assert any(keys[2].name in found for found in said)
    cache.folder.chmod(0o755)
    (only,) = cache.faults()
    assert "0755" in only.found
