"""The GPU run-book: its processes, its judgement, and a whole run where CUDA sees no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY

from benchmarks.gpu import work
from benchmarks.gpu.outcome import Failed, attempt
from benchmarks.gpu.place import FAKE
from benchmarks.gpu.variants import link_bundle
from ftsdk.bundle import open_bundle
from ftsdk.trust import NANO

HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(autouse=True)
def _without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HIDDEN.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("task", "arguments", "patience", "status", "reason"),
    [
        (divmod, (7, 2), 60.0, "passed", ""),
        (divmod, (7, 0), 60.0, "failed", "ZeroDivisionError"),
        (os._exit, (3,), 60.0, "failed", "its process ended with 3"),
        (time.sleep, (600,), 0.5, "failed", "no end after"),
        (__import__, ("not_a_module_of_anyone",), 60.0, "skipped", "pip install"),
    ],
)
def test_a_check_may_crash_or_hang_without_harm(
    task: Any, arguments: tuple[object, ...], patience: float, status: str, reason: str
) -> None:
    outcome = attempt("a check", task, arguments, patience)
    assert (outcome.status, outcome.name) == (status, "a check")
    assert reason in outcome.reason


def test_another_answer_than_the_stored_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "RUNS", 1)
    stored, copy = tmp_path / "stored.npz", link_bundle(open_bundle(NANO), tmp_path / "nano.bundle")
    work.reference(NANO, stored)
    place, figures = work.runtime("tensorrt", copy, stored, True)
    assert place == FAKE
    assert figures["mask IoU"] == 1.0
    assert "p50 ms" not in figures
    tensors = dict(np.load(stored))
    np.savez(stored, **tensors | {"1/image_embeds": tensors["1/image_embeds"] * 1.1})  # type: ignore[arg-type]
    with pytest.raises(Failed, match=r"image_embeds 0\.09"):
        work.runtime("tensorrt", copy, stored, True)
    np.savez(stored, **tensors | {"0/logits": np.roll(tensors["0/logits"], 1, axis=-1)})  # type: ignore[arg-type]
    with pytest.raises(Failed, match="KL nats"):
        work.runtime("tensorrt", copy, stored, False)


@pytest.mark.slow
def test_without_a_gpu_it_runs_to_its_end_and_says_what_was_fake(tmp_path: Path) -> None:
    files = ["--json", tmp_path / "gpu.json", "--markdown", tmp_path / "engines.md"]
    command = [sys.executable, "-m", "benchmarks.gpu.check", *files]
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        env=os.environ | HIDDEN,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert document["gpu"] is None
    checks = {check["name"]: check for check in document["checks"]}
    assert len(checks) == 11
    for name, check in checks.items():
        on_gpu = name == "kernel" or "CUDA," in name
        assert check["status"] == ("skipped" if on_gpu else "passed"), check
        assert bool(check["reason"]) is on_gpu
        assert ("fake" in check["on"]) is (name.startswith(("TensorRT", "CUDA preprocessing")))
    assert checks["nano in int4"]["figures"]["precision"].endswith("language_decoder int4")
    assert "float16" in checks["nano in float16"]["figures"]["precision"]
    assert 0 < checks["TensorRT, int4"]["figures"]["KL nats"] < 0.05
    assert checks["ONNX Runtime CPU, nano"]["figures"]["tokens/s"] > 0
    written = (tmp_path / "engines.md").read_text(encoding="utf-8")
    assert "<!-- begin gpu-no-gpu -->" in written
    assert "No GPU" in written
