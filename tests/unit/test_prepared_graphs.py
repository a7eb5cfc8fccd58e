"""Graphs prepared for this processor: the same numbers, made once, for what they were made for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lowered_bundle
import numpy as np
import onnx
import pytest
import small_graphs
from lowered_bundle import EIGHT, FOUR
from onnx import TensorProto

from ftsdk.analyzer import Analyzer
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.engines import preparing, session_options
from ftsdk.engines.cache import EngineCache
from ftsdk.engines.loading import load_engines, load_graph
from ftsdk.engines.prepared import GraphKey, PreparedGraphs
from ftsdk.engines.preparing import graph_keys, prepare_graphs
from ftsdk.machine import is_x86, processor
from ftsdk.trust import NANO

PORTRAIT = Path(__file__).parents[2] / "examples" / "pictures" / "portrait_forged.jpg"
pytestmark = pytest.mark.skipif(processor() is None, reason="the processor is not known")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lowered_bundle.write(tmp_path / "lowered.bundle")


@pytest.fixture
def keys(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, GraphKey]:
    """What its graphs are kept under, which count although they are small, without VNNI."""
    monkeypatch.setattr(preparing, "LEAST_BYTES", 0)
    for module in (preparing, session_options):
        monkeypatch.setattr(module, "has_vnni", lambda: False)
    return graph_keys(open_bundle(root))


def plain(root: Path) -> dict[str, np.ndarray]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "LEAST_BYTES", 1 << 60)
        return lowered_bundle.answers(root)


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_prepared_graphs_answer_the_same_bits(root: Path, keys: dict[str, GraphKey]) -> None:
    expected = plain(root)
    assert not PreparedGraphs.beside(root).folder.exists()
    for _ in range(2):
        same(lowered_bundle.answers(root), expected)
    assert {*keys} == ({EIGHT, FOUR} if is_x86() else {FOUR})
    loaded = load_engines(open_bundle(root), "cpu", 1)
    assert [*loaded.engines] == [*open_bundle(root).manifest.stages]
    assert loaded.runtime.endswith(f", {len(keys)} graphs prepared for this processor")


def test_what_takes_long_is_done_in_the_file(root: Path, keys: dict[str, GraphKey]) -> None:
    lowered_bundle.answers(root)
    graphs = PreparedGraphs.beside(root)
    four = graphs.graph_path(keys[FOUR].name)
    assert small_graphs.operators(four) == ["MatMulNBits"]
    (codes,) = [one for one in constants(four) if one.data_type == TensorProto.UINT8]
    told = {entry.key: entry.value for entry in codes.external_data}
    assert told["location"] == graphs.weights_path(keys[FOUR].name).name
    assert any(name.startswith("prepacked") for name in told)
    if is_x86():
        eight = graphs.graph_path(keys[EIGHT].name)
        assert "QLinearMatMul" in small_graphs.operators(eight)
        assert TensorProto.INT8 not in {one.data_type for one in constants(eight)}


def constants(path: Path) -> Sequence[TensorProto]:
    return onnx.load(path, load_external_data=False).graph.initializer


def test_a_graph_is_prepared_once(root: Path, keys: dict[str, GraphKey]) -> None:
    lowered_bundle.answers(root)
    folder = PreparedGraphs.beside(root).folder
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.weights")}
    lowered_bundle.answers(root)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.weights")}
    assert before == after
    assert {*before} == {f"{key.name}.weights" for key in keys.values()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert load_graph(open_bundle(root), FOUR, "cpu", 1).is_prepared


def test_every_tensor_of_nano_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_pays", lambda *_: True)
    with Analyzer(device="cpu") as analyzer:
        expected = analyzer.trace(PORTRAIT)
        assert analyzer.stages.runtime.startswith("onnxruntime")
    nano = shutil.copytree(NANO, tmp_path / "nano.bundle")
    for _ in range(2):
        with Analyzer(nano, device="cpu") as analyzer:
            assert analyzer.stages.runtime.endswith(", 7 graphs prepared for this processor")
            assert not [name for name in analyzer.bundle.unread if name.startswith("graphs/")]
            same(analyzer.trace(PORTRAIT), expected)


def test_nothing_is_kept_of_nano(tmp_path: Path) -> None:
    nano = shutil.copytree(NANO, tmp_path / "nano.bundle")
    with Analyzer(nano, device="cpu") as analyzer:
        assert "prepared" not in analyzer.stages.runtime
    assert [path.name for path in tmp_path.iterdir()] == ["nano.bundle"]


@pytest.mark.parametrize("vnni", [True, False])
def test_what_loads_no_faster_is_left_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, vnni: bool
) -> None:
    bundle, largest = open_bundle(root), 0
    for module in (preparing, session_options):
        monkeypatch.setattr(module, "has_vnni", lambda: vnni)
    assert graph_keys(bundle) == {}
    for stage in (EIGHT, FOUR):
        largest = max(largest, bundle.manifest.graph_bytes(stage))
    monkeypatch.setattr(preparing, "LEAST_BYTES", largest + 1)
    assert graph_keys(bundle) == {}
    monkeypatch.setattr(preparing, "LEAST_BYTES", 0)
    assert {*graph_keys(bundle)} == ({EIGHT, FOUR} if is_x86() and not vnni else {FOUR})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("graph_sha256", "b" * 64),
        ("runtime", "onnxruntime 99.0"),
        ("build", "another commit"),
        ("processor", "x86_64 | another"),
        ("arithmetic", {}),
        ("recipe", 99),
    ],
)
def test_what_was_prepared_for_something_else_is_not_loaded(
    root: Path, keys: dict[str, GraphKey], field: str, value: object
) -> None:
    lowered_bundle.answers(root)
    graphs = PreparedGraphs.beside(root)
    assert graphs.load(keys[FOUR]) is not None
    assert graphs.load(replace(keys[FOUR], **{field: value})) is None


def test_two_of_a_stage_are_kept_the_least_recently_used_goes(
    root: Path, keys: dict[str, GraphKey]
) -> None:
    graphs, bundle = PreparedGraphs.beside(root), open_bundle(root)
    runtimes = [replace(keys[FOUR], runtime=f"onnxruntime {n}") for n in range(3)]
    for age, key in enumerate(runtimes[:2]):
        keep(graphs, bundle, key)
        os.utime(graphs.record_path(key.name), (age, age))
    assert graphs.load(runtimes[0])
    keep(graphs, bundle, keys[EIGHT])
    keep(graphs, bundle, runtimes[2])
    kept = {record.key.name for record in graphs.records()}
    assert kept == {keys[EIGHT].name, runtimes[0].name, runtimes[2].name}
    assert len([*graphs.folder.iterdir()]) == 9


def keep(graphs: PreparedGraphs, bundle: Bundle, key: GraphKey) -> None:
    with graphs.building() as place:
        assert place
        preparing._save(bundle, key, place)
        graphs.store(key, place, 0.0)


def test_clearing_removes_them_and_what_was_not_finished(
    root: Path, keys: dict[str, GraphKey], tmp_path: Path
) -> None:
    prepare_graphs(open_bundle(root))
    graphs = PreparedGraphs.beside(root)
    graphs.unfinished.mkdir()
    (graphs.unfinished / f"{keys[FOUR].name}.weights").write_bytes(bytes(999))
    sizes = sum(path.stat().st_size for path in graphs.folder.rglob("*") if path.is_file())
    assert EngineCache.beside(root).clear() == sizes
    assert not graphs.folder.exists()
    graphs.folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{keys[FOUR].name}.weights").write_bytes(b"not ours")
    graphs.unfinished.symlink_to(tmp_path / "elsewhere")
    assert EngineCache.beside(root).clear() == 0
    assert [*(tmp_path / "elsewhere").iterdir()]
