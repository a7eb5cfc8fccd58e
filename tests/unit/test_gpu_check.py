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

from ftsdk.bundle import NANO, open_bundle

BENCHMARKS = REPOSITORY / "benchmarks"
HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name, value in HIDDEN.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("work", "arguments", "patience", "status", "reason"),
    [
        (divmod, (7, 2), 60.0, "passed", ""),
        (divmod, (7, 0), 60.0, "failed", "ZeroDivisionError"),
        (os._exit, (3,), 60.0, "failed", "its process ended with 3"),
        (time.sleep, (600,), 0.5, "failed", "no end after"),
        (__import__, ("not_a_module_of_anyone",), 60.0, "skipped", "pip install"),
    ],
)
def test_a_check_may_crash_or_hang_without_harm(
    work: Any, arguments: tuple[object, ...], patience: float, status: str, reason: str
) -> None:
    from gpu_outcome import attempt

    outcome = attempt("a check", work, arguments, patience)
    assert (outcome.status, outcome.name) == (status, "a check")
    assert reason in outcome.reason


def test_another_answer_than_the_stored_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpu_work
    from gpu_outcome import Failed
    from gpu_place import FAKE
    from gpu_variants import link_bundle

    monkeypatch.setattr(gpu_work, "RUNS", 1)
    stored, copy = tmp_path / "stored.npz", link_bundle(open_bundle(NANO), tmp_path / "nano.bundle")
    gpu_work.reference(NANO, stored)
    place, figures = gpu_work.runtime("tensorrt", copy, stored, True)
    assert place == FAKE
    assert figures["mask IoU"] == 1.0
    assert "p50 ms" not in figures
    tensors = dict(np.load(stored))
    np.savez(stored, **tensors | {"1/image_embeds": tensors["1/image_embeds"] * 1.1})  # type: ignore[arg-type]
    with pytest.raises(Failed, match=r"image_embeds 0\.09"):
        gpu_work.runtime("tensorrt", copy, stored, True)
    np.savez(stored, **tensors | {"0/logits": np.roll(tensors["0/logits"], 1, axis=-1)})  # type: ignore[arg-type]
    with pytest.raises(Failed, match="KL nats"):
        gpu_work.runtime("tensorrt", copy, stored, False)


@pytest.mark.slow
def test_without_a_gpu_it_runs_to_its_end_and_says_what_was_fake(tmp_path: Path) -> None:
    files = ["--json", tmp_path / "gpu.json", "--markdown", tmp_path / "engines.md"]
    command = [sys.executable, BENCHMARKS / "gpu_check.py", *files]
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, env=os.environ | HIDDEN, check=False
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
