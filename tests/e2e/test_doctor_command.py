"""`ft-doctor` on this machine, and what it clears."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ftsdk.bundle import open_bundle
from ftsdk.cli.doctor import app
from ftsdk.doctor.hardware import has_gpu
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.plans import engine_keys
from ftsdk.trust import NANO


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_this_machine_is_healthy_on_its_cpu() -> None:
    done = run("--device", "cpu")
    assert done.exit_code == 0, done.output
    assert done.stdout.rstrip().endswith("healthy")
    for check in ("machine", "packages", "native kernels", "golden picture", "engines"):
        assert check in done.stdout


def test_the_document_has_every_check_with_its_facts(mini_bundle: Path) -> None:
    done = run("--device", "cpu", "--json", "--bundle", mini_bundle)
    document = json.loads(done.stdout)
    assert done.exit_code == 0
    assert document["healthy"] is True
    checks = {check["name"]: check for check in document["checks"]}
    assert "onnxruntime" in checks["packages"]["facts"]
    assert checks["bundle"]["facts"]["name"] == open_bundle(mini_bundle).manifest.name
    (golden,) = checks["golden picture"]["facts"].values()
    assert "image_embeds" in golden
    assert all(check["facts"] and check["faults"] == [] for check in document["checks"])


@pytest.mark.skipif(has_gpu(), reason="a GPU is here")
def test_no_gpu_is_a_fault_only_where_one_was_asked_for() -> None:
    assert run("--json").exit_code == 0
    done = run("--json", "--device", "cuda:0")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["healthy"] is False
    faults = [fault for check in document["checks"] for fault in check["faults"]]
    assert {fault["class"] for fault in faults} == {"DeviceUnavailableError"}
    assert "ftsdk[gpu]" in faults[0]["cure"]


@pytest.mark.parametrize(
    "wrong", [["--device", "tpu"], ["--device", "cuda:x"], ["--clear-engines", "--bundle", "/no"]]
)
def test_wrong_use_exits_with_2(wrong: list[str]) -> None:
    assert run(*wrong).exit_code == 2


def test_engines_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    bundle = shutil.copytree(NANO, tmp_path / "nano.bundle")
    cache = EngineCache.beside(bundle)
    for key in engine_keys(open_bundle(bundle), "tensorrt 10.3.0", "sm_87 Orin").values():
        cache.store(key, b"plan" * 100, 1.0)
    size = sum(file.stat().st_size for file in cache.folder.iterdir())
    done = run("--clear-engines", "--bundle", bundle, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"folder": str(cache.folder), "freed_bytes": size}
    assert not cache.folder.exists()
    open_bundle(bundle)
    assert "0 bytes freed" in run("--clear-engines", "--bundle", bundle).stdout
