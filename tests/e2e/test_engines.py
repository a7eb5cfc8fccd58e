"""`ft-export --engines`: TensorRT-RTX plans, built for GPUs that are not here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ft_export.cli import app
from ftsdk.bundle import NANO, open_bundle
from ftsdk.engines.cache import EngineCache, EngineRecord
from ftsdk.errors import EngineBuildError

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def bundle(mini_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature, where engines may be built beside it."""
    return shutil.copytree(mini_bundle, tmp_path_factory.mktemp("engines") / "mini.bundle")


@pytest.fixture(scope="module")
def records(bundle: Path) -> list[EngineRecord]:
    """What a build of every stage for one GPU left."""
    done = run(bundle, "--engines", "sm_89", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    records = [*EngineCache.beside(bundle).records()]
    assert len(printed["engines"]) == len(records)
    return records


def test_every_stage_has_a_plan_also_the_decoder_with_its_cache(
    bundle: Path, records: list[EngineRecord]
) -> None:
    stages = open_bundle(bundle).manifest.stages
    assert {record.key.stage for record in records} == {*stages}
    cache = EngineCache.beside(bundle)
    for record in records:
        assert record.key.gpu == "sm_89"
        assert record.key.runtime == f"tensorrt_rtx {trt.__version__}"
        assert len(cache.load(record.key)) == record.size > 10_000


def test_what_is_built_is_not_built_again(bundle: Path, records: list[EngineRecord]) -> None:
    done = run(bundle, "--engines", "sm_89", "--json")
    assert [engine["seconds"] for engine in json.loads(done.stdout)["engines"]] == [0.0] * len(
        records
    )


def test_another_gpu_has_its_own_plans() -> None:
    from ft_export.engines import build_plan, find_target
    from ftsdk.engines.profile import profile_of

    nano = open_bundle(NANO)
    graph = nano.file(nano.manifest.stages["mask_decoder"].graph)
    phases: list[tuple[str, int, int]] = []

    def steps(_: str, phase: str, done: int, total: int) -> None:
        phases.append((phase, done, total))

    plans = [
        bytes(build_plan(graph, profile_of(nano), find_target(gpu), steps, "mask_decoder"))
        for gpu in ("sm_86", "sm_120")
    ]
    assert plans[0] != plans[1]
    assert all(done <= total for _, done, total in phases)
    assert phases


def test_a_precision_that_the_gpu_lacks_fails_in_words(bundle: Path) -> None:
    """Turing has no float32 matrix products in TensorRT-RTX."""
    done = run(bundle, "--engines", "sm_75")
    assert done.exit_code == 1
    assert "sm_75" in done.stderr
    assert "Turing" in done.stderr
    assert "Traceback" not in done.output


def test_an_unknown_gpu_and_no_place_to_write_are_wrong_use(bundle: Path) -> None:
    orin = run(bundle, "--engines", "sm_87")
    assert orin.exit_code == 2
    assert "--engines this" in orin.stderr
    assert run(bundle).exit_code == 2
    assert run(bundle, "--vision", "int8").exit_code == 2


def test_a_build_that_would_not_fit_does_not_start(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ft_export import engines

    monkeypatch.setattr(engines, "available_bytes", lambda: 1 << 20)
    graph = bundle / "graphs" / "qformer.onnx"
    with pytest.raises(EngineBuildError, match=r"qformer\.onnx would not fit"):
        engines.require_memory(graph)


def test_without_a_gpu_this_is_refused(bundle: Path) -> None:
    cudart = pytest.importorskip("cuda.bindings.runtime")
    if int(cudart.cudaGetDeviceCount()[0]) == 0:
        pytest.skip("a GPU is here")
    done = run(bundle, "--engines", "this")
    assert done.exit_code == 1
    assert "GPU" in done.stderr
