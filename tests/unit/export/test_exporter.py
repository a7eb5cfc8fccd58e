"""How an export goes about its stages."""

from __future__ import annotations

import shutil
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from exports import FLOAT32

from ft_export import stage_export
from ft_export.exporter import export_bundle
from ft_export.model.architecture import load_architecture
from ft_export.model.layers import Stage
from ft_export.plan import StagePlan, plan_export


def test_a_stage_is_gone_before_the_next_is_loaded_and_each_step_is_told(
    parity: Path,
    mini_weights: Path,
    mini_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def copy(_module: object, _example: object, _axes: object, path: Path, _: object) -> None:
        shutil.copy(mini_bundle / "graphs" / path.name, path)

    monkeypatch.setattr(stage_export, "export_graph", copy)
    plan = plan_export(mini_weights, load_architecture(str(parity / "architecture.json")), "mini")
    loaded: list[weakref.ref[Stage]] = []

    def load(stage: StagePlan) -> Stage:
        assert [earlier for earlier in loaded if earlier() is not None] == []
        module = stage.load()
        loaded.append(weakref.ref(module))
        return module

    watched = tuple(StagePlan(stage.name, partial(load, stage)) for stage in plan.stages)
    told: list[tuple[str, str]] = []
    export_bundle(
        replace(plan, stages=watched),
        tmp_path / "mini.bundle",
        lambda stage, step: told.append((stage, step)),
        FLOAT32,
    )
    assert len(loaded) == 6
    steps = ("loading", "reference", "exporting", "gate")
    expected = [(stage.name, step) for stage in plan.stages for step in steps]
    assert told == [*expected, ("bundle", "end to end")]
