"""`ft-export` from the outside."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from conftest import Exported
from typer.testing import CliRunner

from ft_export.cli import app
from ft_export.gates.stage import MAX_ABSOLUTE, MAX_RELATIVE
from ft_export.model.architecture import load_architecture
from ft_export.plan import plan_export
from ftsdk.bundle import open_bundle
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.strict import written


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_gate_is_printed_and_stored(mini_export: Exported) -> None:
    printed = json.loads(mini_export.printed)
    manifest = open_bundle(mini_export.bundle).manifest
    assert printed["gate"] == json.loads(written(manifest))["gate"]
    assert printed["name"] == manifest.name == "mini"
    stages = {entry.stage for entry in manifest.gate}
    assert stages == {*manifest.stages, "end to end"} - {FACE_DETECTOR}  # no torch model of it
    for entry in manifest.gate:
        assert entry.max_absolute <= MAX_ABSOLUTE
        assert entry.relative <= MAX_RELATIVE


#: What the published files hold and no output depends on.
DEAD = re.compile(
    r"(bert_model|gate_cross_attention_layer|trans_layer|fc_layer|seg_proj|mlm_head|text_proj)\."
    r"|visual_encoder\.(blocks\.4|norm|head)\."
    r"|mask_decoder\.transformer\.layers\.\d\.(self_attn|cross_attn_image_to_token)\.[qk]_proj\."
    r"|Qformer\.bert\.encoder\.layer\.2\.(intermediate|output)\."
    r"|Qformer\.(bert\.embeddings\.position_ids|cls\.)"
    r"|t5_model\.(en|de)coder\.embed_tokens\."
    r"|multi_label_classifier\..*\.num_batches_tracked"
)


def test_what_no_output_depends_on_is_dropped_and_counted(
    parity: Path, mini_weights: Path, mini_bundle: Path
) -> None:
    plan = plan_export(mini_weights, load_architecture(str(parity / "architecture.json")), "mini")
    plan.token_embeddings()
    for stage in plan.stages:
        stage.load()
    alive = [name for name in plan.checkpoint.dead if not DEAD.match(name)]
    assert alive == []
    assert open_bundle(mini_bundle).manifest.dead_tensors == len(plan.checkpoint.dead) > 100


def test_the_bundle_holds_what_its_manifest_lists(mini_bundle: Path) -> None:
    manifest = open_bundle(mini_bundle).manifest
    found = {
        path.relative_to(mini_bundle).as_posix()
        for path in mini_bundle.rglob("*")
        if path.is_file()
    }
    assert found == {*manifest.files, "manifest.json"}
    assert {stage.graph for stage in manifest.stages.values()} <= found
    assert [path.name for path in mini_bundle.parent.iterdir()] == ["mini.bundle"]


def test_the_golden_sample_is_reproduced(mini_bundle: Path) -> None:
    from ftsdk.analyzer import Analyzer

    manifest = open_bundle(mini_bundle).manifest
    with (
        np.load(mini_bundle / manifest.golden_tensors) as golden,
        Analyzer(mini_bundle, device="cpu") as analyzer,
    ):
        trace = analyzer.trace(mini_bundle / manifest.golden_picture)
        for name in set(golden) - {"report_ids"}:
            np.testing.assert_allclose(trace[name], golden[name], atol=1e-4, rtol=1e-4)
        ids = golden["report_ids"][0]
        np.testing.assert_array_equal(trace["report_ids"][0, : len(ids)], ids)


def test_nothing_in_a_bundle_is_a_pickle(mini_bundle: Path) -> None:
    manifest = open_bundle(mini_bundle).manifest
    with np.load(mini_bundle / manifest.golden_tensors, allow_pickle=False) as golden:
        assert all(golden[name].dtype != object for name in golden)
    for path in mini_bundle.rglob("*"):
        assert path.is_dir() or not path.read_bytes().startswith(b"\x80")


def test_help_has_an_example() -> None:
    done = run("--help")
    assert done.exit_code == 0
    text = " ".join(re.sub(r"[│|]", " ", done.stdout).split())
    assert "Example: ft-export model_parameter/ --architecture xl --out xl.bundle" in text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["weights"],
        ["--out", "x"],
        ["w", "--out", "x", "--no"],
        ["w", "--out", "x", "--language", "int2"],
    ],
)
def test_wrong_use_is_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_what_exists_is_not_overwritten(second_weights: Path, mini_bundle: Path) -> None:
    architecture = second_weights.with_suffix(".json")
    done = run(second_weights, "--architecture", architecture, "--out", mini_bundle)
    assert done.exit_code == 2
    assert "--overwrite" in done.stderr
    assert open_bundle(mini_bundle).manifest.name == "mini"


def test_failures_are_code_1_and_leave_nothing(second_weights: Path, tmp_path: Path) -> None:
    weights = shutil.copytree(second_weights, tmp_path / "weights")
    architecture = second_weights.with_suffix(".json")
    out = tmp_path / "out" / "a.bundle"
    missing = run(tmp_path / "nowhere", "--architecture", architecture, "--out", out)
    unknown = run(weights, "--architecture", "xxl", "--out", out)
    (weights / "2111_checkpoint_best.pth").write_bytes(b"")
    damaged = run(weights, "--architecture", architecture, "--out", out)
    for done, found in ((missing, "nowhere"), (unknown, "xxl"), (damaged, "2111_checkpoint_best")):
        assert done.exit_code == 1
        assert found in done.stderr
        assert "cure" in done.stderr
        assert "Traceback" not in done.output
    assert not out.exists()
    assert not out.parent.exists() or [*out.parent.iterdir()] == []
