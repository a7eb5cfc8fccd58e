"""Exports that are killed or fail their gate leave no bundle, and the next one works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from exports import FLOAT32, OVERWRITE
from onnx import numpy_helper

from ft_export import stage_export
from ft_export.errors import GateError
from ft_export.exporter import export_bundle
from ft_export.model.architecture import load_architecture
from ft_export.plan import ModelPlan, plan_export
from ftsdk.bundle import open_bundle

#: Exports three times over the graphs of a finished bundle and is killed at a step each time,
#: then once more to the end; prints which stages each one kept of those before it. Only
#: children run graphs: a fork after a runtime's threads have started would lose them.
KILLED = """
import json, os, shutil, signal, sys
from pathlib import Path
from exports import FLOAT32
from ft_export import exporter
from ft_export import stage_export
from ft_export.model.architecture import load_architecture
from ft_export.plan import plan_export

weights, architecture, bundle, out = map(Path, sys.argv[1:])
stage_export.export_graph = lambda module, example, axes, path, rewrite: shutil.copy(
    bundle / "graphs" / path.name, path
)

def export(kill_at):
    kept = []
    def progress(stage, step):
        if step == "kept":
            kept.append(stage)
        if (stage, step) == kill_at:
            print(json.dumps(kept), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    plan = plan_export(weights, load_architecture(str(architecture)), "mini")
    exporter.export_bundle(plan, out, progress, FLOAT32)
    print(json.dumps(kept), flush=True)

for moment in (("vision_encoder", "loading"), ("qformer", "gate"), ("bundle", "end to end")):
    child = os.fork()
    if child == 0:
        export(moment)
        os._exit(3)
    _, status = os.waitpid(child, 0)
    left = [path.name for path in out.parent.iterdir()]
    print(json.dumps([os.WTERMSIG(status), out.exists(), left]), flush=True)
export(None)
"""


def test_a_killed_export_leaves_no_bundle_and_the_next_one_goes_on(
    parity: Path, mini_weights: Path, mini_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed" / "mini.bundle"
    arguments = [mini_weights, parity / "architecture.json", mini_bundle, out]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    *runs, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert runs[1::2] == [[9, False, [".mini.bundle.partial"]]] * 3
    stages = ["vision_encoder", "forgery_prompter", "mask_decoder"]
    assert runs[::2] == [[], [], stages]
    assert last == [*stages, "qformer", "language_encoder", "language_decoder"]
    assert [path.name for path in out.parent.iterdir()] == ["mini.bundle"]
    assert open_bundle(out).manifest.name == "mini"


@pytest.fixture
def plan(parity: Path, mini_weights: Path) -> ModelPlan:
    return plan_export(mini_weights, load_architecture(str(parity / "architecture.json")), "mini")


Spoil = Callable[[str, Callable[[Any], None]], None]


@pytest.fixture
def spoil(mini_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Spoil:
    """A function that makes the exporter write the finished graphs, one of them changed."""

    def spoiled(stage: str, change: Callable[[Any], None]) -> None:
        def write(_m: object, _example: object, _axes: object, path: Path, _: object) -> None:
            shutil.copy(mini_bundle / "graphs" / path.name, path)
            if path.stem == stage:
                model = onnx.load(path)
                change(model.graph)
                onnx.save(model, path)

        monkeypatch.setattr(stage_export, "export_graph", write)

    return spoiled


def scale_a_weight(graph: Any) -> None:
    """Make the largest matrix of a graph half a percent larger."""
    largest = max(graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight = numpy_helper.to_array(largest) * 1.005
    largest.CopyFrom(numpy_helper.from_array(weight.astype("float32"), largest.name))


@pytest.mark.parametrize("stage", [
    "vision_encoder", "forgery_prompter", "mask_decoder",
    "qformer", "language_encoder", "language_decoder",
])  # fmt: skip
def test_a_graph_that_differs_leaves_no_bundle_and_is_named(
    plan: ModelPlan, spoil: Spoil, tmp_path: Path, stage: str
) -> None:
    spoil(stage, scale_a_weight)
    out = tmp_path / "mini.bundle"
    with pytest.raises(GateError) as caught:
        export_bundle(plan, out, lambda *_: None, FLOAT32)
    error = caught.value
    assert f"stage {stage} " in error.what
    assert "no bundle was written" in error.what
    assert "0.0001" in error.expected
    assert error.found
    assert error.cure
    assert [*tmp_path.iterdir()] == []


def test_a_failed_gate_keeps_the_bundle_that_was_to_be_replaced(
    plan: ModelPlan, spoil: Spoil, mini_bundle: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(mini_bundle, tmp_path / "mini.bundle")
    spoil("vision_encoder", scale_a_weight)
    with pytest.raises(GateError):
        export_bundle(plan, out, lambda *_: None, OVERWRITE)
    assert open_bundle(out).sha256 == open_bundle(mini_bundle).sha256
    assert [path.name for path in tmp_path.iterdir()] == ["mini.bundle"]


def test_a_bundle_is_replaced_when_asked(
    plan: ModelPlan, spoil: Spoil, mini_bundle: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(mini_bundle, tmp_path / "mini.bundle")
    (out / "stale").write_text("no longer a bundle that opens")
    spoil("none of them", scale_a_weight)
    assert export_bundle(plan, out, lambda *_: None, OVERWRITE).manifest.name == "mini"
    assert not (out / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["mini.bundle"]
