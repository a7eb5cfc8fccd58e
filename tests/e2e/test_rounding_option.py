"""`ft-export --rounding` on nano's own weights, with and without their reports."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import pytest
from click.testing import Result
from conftest import REPOSITORY
from typer.testing import CliRunner

from ft_export import stage_export
from ft_export.cli import app
from ft_export.graph.files import load_graph, save_graph
from ftsdk.bundle import open_bundle
from ftsdk.trust import NANO

WEIGHTS = REPOSITORY / "training/nano"
LANGUAGE = ("language_encoder", "language_decoder")


@pytest.fixture(autouse=True)
def _shipped_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the float32 graphs from the bundle of these weights: tracing them takes minutes."""

    def export_graph(
        _module: object, _example: object, _axes: object, path: Path,
        rewrite: Callable[[ir.Model], None],
    ) -> None:  # fmt: skip
        model = load_graph(NANO / "graphs" / path.name)
        rewrite(model)
        save_graph(model, path)

    monkeypatch.setattr(stage_export, "export_graph", export_graph)


def run(weights: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(app, [str(weights), "--out", str(out), *options])


def test_where_there_are_reports_gptq_is_the_default_and_is_judged_by_others(
    tmp_path: Path,
) -> None:
    out = tmp_path / "nano.bundle"
    done = run(WEIGHTS, out)
    assert done.exit_code == 0, done.output
    manifest = open_bundle(out).manifest
    for name, stage in manifest.stages.items():
        assert stage.rounding == ("gptq" if name in LANGUAGE else None)
    gate = manifest.text_gate
    assert gate is not None
    assert gate.reports == 32  # A quarter of the 128 that come with the weights.
    assert gate.mean_kl < 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["nano.bundle"]


def test_without_reports_gptq_is_wrong_use_and_clipped_the_default(tmp_path: Path) -> None:
    weights, out = tmp_path / "weights", tmp_path / "nano.bundle"
    shutil.copytree(WEIGHTS, weights, ignore=shutil.ignore_patterns("reports.npz"))
    refused = run(weights, out, "--rounding", "gptq")
    assert refused.exit_code == 2, refused.output
    assert "--rounding clipped" in refused.stderr
    assert not out.exists()
    done = run(weights, out)
    assert done.exit_code == 0, done.output
    manifest = open_bundle(out).manifest
    assert {manifest.stages[name].rounding for name in LANGUAGE} == {"clipped"}
    assert manifest.text_gate is not None
    assert manifest.text_gate.reports == 1  # The golden picture's.
