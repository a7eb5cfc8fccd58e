"""`ft-export --encoders`: nano in INT8 and float16, its ranges, and what happens when it fails."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

import ftsdk
from ft_export.bundle.writer import hash_files, write_manifest
from ft_export.cli import app
from ft_export.gates import encoders as encoder_gate
from ft_export.graph import files as graph_files
from ftsdk.bundle import open_bundle
from ftsdk.consistency import MODEL_STAGES
from ftsdk.engines.contract import Tensors
from ftsdk.imaging.decode import decode
from ftsdk.imaging.encode import write_png
from ftsdk.manifest import Manifest
from ftsdk.trust import NANO

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"
FORGED = PICTURES / "portrait_forged.jpg"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures: the forged portrait, and other framings of it."""
    folder = tmp_path_factory.mktemp("calibration")
    pixels = decode(FORGED).pixels
    write_png(folder / "a.png", pixels)
    write_png(folder / "b.png", np.ascontiguousarray(pixels[:, ::-1]))
    write_png(folder / "c.png", np.ascontiguousarray(pixels[8:, 8:]))
    return folder


@pytest.fixture(scope="module")
def picture(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of them, where it matters only that there is one."""
    return Path(shutil.copy(pictures / "a.png", tmp_path_factory.mktemp("one") / "a.png")).parent


@pytest.fixture(scope="module")
def int8(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "int8.bundle"
    done = run(NANO, "--encoders", "int8", "--calibration", pictures, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["encoder_gate"]["mean_mask_iou"] >= 0.95
    return out


def test_int8_masks_what_float32_masks(int8: Path) -> None:
    manifest = open_bundle(int8).manifest
    assert manifest.stages["vision_encoder"].precision == "int8"
    assert manifest.stages["language_encoder"].precision == "int8"
    assert manifest.encoder_gate is not None
    assert manifest.encoder_gate.mean_mask_iou >= 0.95
    with ftsdk.Analyzer(device="cpu") as nano, ftsdk.Analyzer(int8, device="cpu") as lowered:
        expected, found = nano.analyze(FORGED, report=False), lowered.analyze(FORGED, report=False)
    assert found.mask.any()
    overlap = np.sum(found.mask & expected.mask) / np.sum(found.mask | expected.mask)
    assert overlap >= 0.95
    assert [r.name for r in found.regions] == [r.name for r in expected.regions]


def test_the_gate_says_what_was_measured_of_each_lowered_stage(int8: Path) -> None:
    manifest = open_bundle(int8).manifest
    for stage in MODEL_STAGES:
        entry = manifest.stages[stage]
        measured = [one.relative for one in manifest.gate if one.stage == stage]
        assert measured
        assert all(relative <= 0.05 for relative in measured)
        assert (max(measured) > 1e-4) == (entry.precision == "int8")
    chain = {one.tensor: one.relative for one in manifest.gate if one.stage == "end to end"}
    assert chain["mask_logits"] > 1e-5


def test_the_bundle_that_was_lowered_is_not_changed(int8: Path) -> None:
    open_bundle(NANO)
    sizes = [
        path.stat().st_size for path in (int8, NANO) for path in [path / "graphs/qformer.onnx"]
    ]
    assert sizes[0] < 0.6 * sizes[1]


def test_a_bundle_with_weights_beside_its_graphs_is_lowered_twice(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_files, "INLINE_BYTES", 0)
    large = shutil.copytree(NANO, tmp_path / "large.bundle")
    for graph in (large / "graphs").glob("*.onnx"):
        graph_files.save_graph(graph_files.load_graph(graph), graph)
    manifest = open_bundle(NANO).manifest
    write_manifest(large, replace(manifest, files=hash_files(large)))
    for name in ("first", "second"):  # The first one's files are other names of the source's.
        out = tmp_path / f"{name}.bundle"
        done = run(large, "--encoders", "int8", "--calibration", picture, "--out", out, "--json")
        assert done.exit_code == 0, done.output
        assert open_bundle(out).manifest.stages["vision_encoder"].precision == "int8"
        assert (out / "graphs/vision_encoder.onnx.data").is_file()


def test_chains_that_name_other_regions_are_not_held_against_each_other(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = encoder_gate.suspected_regions, iter(range(1 << 20))

    def other_regions(tensors: Tensors, manifest: Manifest) -> list[str]:
        """Suspect one region more at every second look: the two chains then differ in it."""
        found = plain(tensors, manifest)
        return [*found, "scar"] if next(calls) % 2 else found

    monkeypatch.setattr(encoder_gate, "suspected_regions", other_regions)
    options = ("--encoders", "int8", "--calibration", picture, "--waive-encoder-gate")
    done = run(NANO, *options, "--out", tmp_path / "other.bundle")
    assert done.exit_code == 0, done.output
    gate = open_bundle(tmp_path / "other.bundle").manifest.gate
    assert not [one for one in gate if one.stage == "end to end"]


def test_known_ranges_give_the_same_graphs_and_stale_ones_are_refused(
    int8: Path, pictures: Path, tmp_path: Path
) -> None:
    ranges, again = int8 / "calibration/ranges.json", tmp_path / "again.bundle"
    options = ("--encoders", "int8", "--ranges", ranges)
    done = run(NANO, *options, "--calibration", pictures, "--out", again)
    assert done.exit_code == 0, done.output
    for stage in ("vision_encoder", "language_encoder"):
        graph = f"graphs/{stage}.onnx"
        assert (again / graph).read_bytes() == (int8 / graph).read_bytes()
    others = shutil.copytree(pictures, tmp_path / "others")
    write_png(others / "d.png", decode(PICTURES / "portrait.jpg").pixels)
    refused = run(NANO, *options, "--calibration", others, "--out", tmp_path / "x.bundle")
    assert refused.exit_code == 1
    assert "are not those of these pictures" in refused.stderr
    model = json.loads(ranges.read_text(encoding="utf-8"))
    model["stages"]["vision_encoder"]["graph_sha256"] = "0" * 64
    (stale := tmp_path / "stale.json").write_text(json.dumps(model), encoding="utf-8")
    refused = run(
        NANO, "--encoders", "int8", "--ranges", stale,
        "--calibration", pictures, "--out", tmp_path / "x.bundle",
    )  # fmt: skip
    assert refused.exit_code == 1
    assert "vision_encoder" in refused.stderr
    assert not (tmp_path / "x.bundle").exists()


def test_float16_keeps_norms_and_what_overflows_in_float32(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "float16.bundle"
    done = run(NANO, "--encoders", "float16", "--calibration", picture, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    manifest = open_bundle(out).manifest
    for stage in ("vision_encoder", "mask_decoder"):
        assert manifest.stages[stage].precision == "float16"
    assert manifest.stages["language_decoder"].precision == "float32"
    assert manifest.encoder_gate is not None
    assert manifest.encoder_gate.mean_mask_iou >= 0.98
    assert manifest.encoder_gate.kept_layers["language_encoder"]


def test_masks_that_differ_leave_no_bundle(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encoder_gate.MIN_MASK_IOU, "int8", 1.01)
    out = tmp_path / "x.bundle"
    options = ("--encoders", "int8", "--calibration", picture, "--out", out)
    failed = run(NANO, *options)
    assert failed.exit_code == 1
    assert "mask" in failed.stderr
    assert [*tmp_path.iterdir()] == []
    assert run(NANO, *options, "--waive-encoder-gate").exit_code == 0
    gate = open_bundle(out).manifest.encoder_gate
    assert gate is not None
    assert gate.waived


def test_sensitive_layers_are_spared_and_named(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole.bundle"
    run(NANO, "--encoders", "int8", "--calibration", picture, "--out", whole)
    entries = [one for one in open_bundle(whole).manifest.gate if one.stage == "vision_encoder"]
    limit = 0.9 * max(one.relative for one in entries)
    monkeypatch.setitem(encoder_gate.MAX_RELATIVE, "int8", limit)
    out = tmp_path / "x.bundle"
    done = run(NANO, "--encoders", "int8", "--calibration", picture, "--out", out)
    assert done.exit_code == 0, done.output
    gate = open_bundle(out).manifest.encoder_gate
    assert gate is not None
    kept = gate.kept_layers["vision_encoder"]
    assert kept
    assert set(kept) <= {*_layers("vision_encoder")}
    assert kept[0].split(".")[0] in done.stdout


def _layers(stage: str) -> list[str]:
    from ft_export.graph.files import load_graph
    from ft_export.precision.int8 import find_products

    graph = NANO / "graphs" / f"{stage}.onnx"
    return [product.layer for product in find_products(load_graph(graph))]


def test_wrong_use_is_code_2(int8: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.bundle"
    for arguments, cure in (
        ((NANO,), "--encoders int8"),
        ((NANO, "--encoders", "int8"), "pictures"),
        ((int8, "--encoders", "float16", "--calibration", pictures), "--encoders float32"),
    ):
        done = run(*arguments, "--out", out)
        assert done.exit_code == 2, done.output
        assert cure in done.stderr
    assert not out.exists()


def test_a_bad_picture_among_the_calibration_pictures_is_named(
    pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "calibration"
    shutil.copytree(pictures, folder)
    (folder / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:500])
    out = tmp_path / "x.bundle"
    done = run(NANO, "--encoders", "int8", "--calibration", folder, "--out", out)
    assert done.exit_code == 1
    assert "broken.png" in done.stderr
    assert not out.exists()
