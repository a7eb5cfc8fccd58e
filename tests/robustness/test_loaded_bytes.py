"""What was hashed is what is loaded: files that are exchanged or written to in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from exchanging import GRAPH, SIZE, by_rename, weighted
from raising import raised

from ftsdk.analyzer import Analyzer
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.engines.loading import load_engines
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.errors import BundleFileAlteredError, EngineLoadError
from ftsdk.trust import NANO


def in_place(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


SWAPS = [by_rename, in_place]


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    return shutil.copytree(NANO, tmp_path / "nano.bundle")


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("length", [0, 1000, None], ids=["empty", "cut", "whole"])
@pytest.mark.parametrize("name", [GRAPH, "language/token_embeddings.npy"])
def test_a_file_that_is_exchanged_after_it_was_hashed_is_not_loaded(
    nano: Path, name: str, length: int | None, swap: Callable[[Path, bytes], None]
) -> None:
    bundle, honest = open_bundle(nano), (nano / name).read_bytes()
    swap(nano / name, bytes(bundle.manifest.files[name].size)[:length])
    assert bundle.read(name) == honest
    # What was hashed is kept for one reader; the next one has the file hashed again.
    raised(BundleFileAlteredError, lambda: bundle.read(name))
    if name == GRAPH:
        raised(BundleFileAlteredError, lambda: load_engines(bundle, "cpu", 1))


@pytest.mark.parametrize("swap", SWAPS)
def test_a_file_that_is_too_large_to_be_kept_is_not_loaded_either(
    nano: Path, swap: Callable[[Path, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsdk.bundle._MOST_KEPT", 1000)
    bundle = open_bundle(nano)
    assert not bundle.unread
    swap(nano / GRAPH, bytes(bundle.manifest.files[GRAPH].size))
    raised(BundleFileAlteredError, lambda: load_engines(bundle, "cpu", 1))


def test_no_bytes_of_a_graph_are_kept_beyond_loading(nano: Path) -> None:
    with Analyzer(nano, device="cpu") as analyzer:
        bundle = analyzer.bundle
    assert bundle.unread.keys() == {bundle.manifest.golden_picture, bundle.manifest.golden_tensors}
    bundle.forget_unread()
    by_rename(nano / bundle.manifest.golden_picture, b"")
    raised(BundleFileAlteredError, lambda: bundle.read(bundle.manifest.golden_picture))


@pytest.mark.parametrize("swap", SWAPS)
def test_a_file_that_is_exchanged_after_it_was_loaded_changes_nothing(
    nano: Path, swap: Callable[[Path, bytes], None]
) -> None:
    with Analyzer(nano, device="cpu") as analyzer:
        picture = analyzer.bundle.read(analyzer.bundle.manifest.golden_picture)
        before = analyzer.analyze(picture)
        for name, entry in analyzer.bundle.manifest.files.items():
            swap(nano / name, bytes(entry.size // 2))
        analyzer.stages.cache.clear()
        after = analyzer.analyze(picture)
    assert before.report
    assert before.report == after.report
    assert before.mask is not None
    assert after.mask is not None
    np.testing.assert_array_equal(before.mask, after.mask)


def answer(bundle: Bundle) -> float:
    outputs = OnnxRuntimeEngine(bundle.graph("qformer")).infer({"x": np.zeros(SIZE, np.float32)})
    return float(np.asarray(outputs["y"]).mean())


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("linked", [False, True], ids=["file", "link"])
def test_weights_that_are_exchanged_after_they_were_hashed_are_not_loaded(
    tmp_path: Path, linked: bool, swap: Callable[[Path, bytes], None]
) -> None:
    root = weighted(tmp_path)
    path = root / f"{GRAPH}.data"
    if linked:
        path.rename(tmp_path / "blob")
        path.symlink_to("../../blob")
    bundle = open_bundle(root)
    assert answer(bundle) == 1
    real = path.resolve()
    swap(real, np.full(SIZE, 2, np.float32).tobytes())
    raised(BundleFileAlteredError, lambda: answer(bundle))
    # With the honest bytes again it is another file still, or one that was written to.
    swap(real, np.ones(SIZE, np.float32).tobytes())
    raised(BundleFileAlteredError, lambda: answer(bundle))
    assert answer(open_bundle(root)) == 1


def test_weights_that_are_exchanged_while_they_are_loaded_are_noticed(tmp_path: Path) -> None:
    bundle = open_bundle(weighted(tmp_path))
    weights = bundle.graph("qformer").weights
    assert weights is not None

    def load() -> None:
        with weights.opened():
            by_rename(weights.path, np.full(SIZE, 2, np.float32).tobytes())

    raised(BundleFileAlteredError, load)


def test_a_graph_finds_no_weights_that_its_bundle_does_not_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = weighted(tmp_path)
    content = (root / GRAPH).read_bytes()
    elsewhere = tmp_path / "here"
    elsewhere.mkdir()
    shutil.copyfile(root / f"{GRAPH}.data", elsewhere / "qformer.onnx.data")
    alone = tiny_bundle.write(tmp_path / "alone.bundle", files={GRAPH: content})
    monkeypatch.chdir(elsewhere)
    raised(EngineLoadError, lambda: answer(open_bundle(alone)))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    bundle = open_bundle(weighted(tmp_path))
    answer(bundle)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        answer(open_bundle(bundle.path))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
