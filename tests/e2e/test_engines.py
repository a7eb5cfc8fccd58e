"""`ft-export --engines`: TensorRT-RTX plans, built for GPUs that are not here."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_graphs
from click.testing import Result
from onnx import TensorProto, helper
from typer.testing import CliRunner

from ft_export.bundle.writer import hash_files, write_manifest
from ft_export.cli import app
from ft_export.errors import EngineBuildError
from ft_export.graph.files import load_graph, save_graph
from ft_export.precision.language import LanguagePrecision, lower_language
from ft_export.tensorrt.engines import build_plan, find_target
from ftsdk.bundle import open_bundle
from ftsdk.engines.cache import EngineCache, EngineRecord
from ftsdk.engines.profile import profile_of
from ftsdk.manifest import Precision
from ftsdk.trust import NANO
from ftsdk.verified import BundleGraph

PICTURE = Path(__file__).parents[2] / "examples" / "pictures" / "portrait_forged.jpg"
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
    nano = open_bundle(NANO)
    graph = nano.graph("mask_decoder")
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


def lowered_nano(precision: Precision, folder: Path) -> Path:
    """nano with the matrices of its language model in `precision`, as an export would leave it."""
    bundle = shutil.copytree(NANO, folder / "nano.bundle")
    manifest = open_bundle(bundle).manifest
    stages = dict(manifest.stages)
    for stage in ("language_encoder", "language_decoder"):
        model = load_graph(NANO / stages[stage].graph)
        lower_language(model, LanguagePrecision(precision))
        save_graph(model, bundle / stages[stage].graph)
        stages[stage] = replace(stages[stage], precision=precision)
    write_manifest(bundle, replace(manifest, stages=stages, files=hash_files(bundle)))
    return bundle


@pytest.mark.parametrize(
    ("encoders", "language", "gpu"),
    [("float16", "float16", "sm_86"), ("int8", "int4", "sm_120")],
)
def test_every_stage_builds_in_the_precisions_for_gpus(
    encoders: str, language: Precision, gpu: str, tmp_path: Path
) -> None:
    source, out = lowered_nano(language, tmp_path), tmp_path / "lowered.bundle"
    shutil.copy(PICTURE, tmp_path / "picture.jpg")
    options = ("--encoders", encoders, "--calibration", tmp_path, "--out", out, "--engines", gpu)
    done = run(source, *options, "--json")
    assert done.exit_code == 0, done.output
    built = {one["stage"]: one for one in json.loads(done.stdout)["engines"]}
    stages = open_bundle(out).manifest.stages
    assert {*built} == {*stages}
    assert {one["target"] for one in built.values()} == {gpu}
    assert built["vision_encoder"]["precision"] == encoders
    assert built["language_decoder"]["precision"] == language
    # The plan keeps the lowered weights; unfolded to float32 they alone would be larger.
    float32 = (NANO / stages["language_decoder"].graph).stat().st_size
    assert built["language_decoder"]["size"] < 1.3 * float32


def typed_graph(path: Path, kind: int) -> Path:
    """Write x @ w, computed in bfloat16 or with both sides rounded to an 8-bit float."""
    weight = np.eye(64, dtype=np.float32)
    if kind == TensorProto.BFLOAT16:
        rounded = [
            helper.make_node("Cast", [name], [f"{name}_low"], to=kind) for name in ("x", "w")
        ]
        product = helper.make_node("MatMul", ["x_low", "w_low"], ["y_low"])
        last = helper.make_node("Cast", ["y_low"], ["y"], to=TensorProto.FLOAT)
        return small_graphs.write(path, [*rounded, product, last], {"w": weight}, [8, 64], [8, 64])
    quantised = [
        helper.make_node("QuantizeLinear", [name, "scale"], [f"{name}_q"], output_dtype=kind)
        for name in ("x", "w")
    ]
    back = [
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale"], [f"{name}_low"])
        for name in ("x", "w")
    ]
    product = helper.make_node("MatMul", ["x_low", "w_low"], ["y"])
    constants = {"w": weight, "scale": np.array(0.5, np.float32)}
    return small_graphs.write(path, [*quantised, *back, product], constants, [8, 64], [8, 64])


@pytest.mark.parametrize(
    ("kind", "lacking", "having", "said"),
    [
        (TensorProto.FLOAT8E4M3FN, "sm_86", "sm_89", "fp8_e4m3"),
        (TensorProto.BFLOAT16, "sm_75", "sm_86", "b16"),
    ],
    ids=["fp8", "bfloat16"],
)
def test_a_type_that_the_gpu_lacks_fails_at_the_build(
    kind: int, lacking: str, having: str, said: str, tmp_path: Path
) -> None:
    content = typed_graph(tmp_path / "g.onnx", kind).read_bytes()
    graph = BundleGraph("g.onnx", content, None)
    with pytest.raises(EngineBuildError) as caught:
        build_plan(graph, {}, find_target(lacking), lambda *_: None, "product")
    assert said in caught.value.found
    assert caught.value.what.endswith(f"no engine of product for {lacking}")
    assert build_plan(graph, {}, find_target(having), lambda *_: None, "product") is not None


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
    assert run(bundle, "--encoders", "int8").exit_code == 2


def test_a_build_that_would_not_fit_does_not_start(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ft_export.tensorrt import engines

    monkeypatch.setattr(engines, "available_bytes", lambda: 1 << 20)
    graph = open_bundle(bundle).graph("qformer")
    with pytest.raises(EngineBuildError, match=r"qformer\.onnx would not fit"):
        engines.require_memory(graph)


def test_without_a_gpu_this_is_refused(bundle: Path) -> None:
    cudart = pytest.importorskip("cuda.bindings.runtime")
    if int(cudart.cudaGetDeviceCount()[0]) == 0:
        pytest.skip("a GPU is here")
    done = run(bundle, "--engines", "this")
    assert done.exit_code == 1
    assert "GPU" in done.stderr
