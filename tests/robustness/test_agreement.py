"""Bundles whose files are the listed ones and are not what the manifest says of them."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raising import raised

from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.consistency import FACE_DETECTOR, FACE_INPUT
from ftsdk.engines.agreement import require_agreement
from ftsdk.engines.contract import GraphFacts, TensorFacts
from ftsdk.errors import BundleContentError
from ftsdk.trust import NANO

GOLDEN = "golden/tensors.npz"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    return shutil.copytree(NANO, tmp_path / "nano.bundle")


@pytest.fixture(scope="module")
def known() -> tuple[dict[str, GraphFacts], int]:
    """What nano's graphs say of themselves, and its embeddings' width."""
    with Analyzer(device="cpu") as analyzer:
        return analyzer.chain.stages.facts, analyzer.chain.embeddings.width


def edit(root: Path, change: Change = lambda _: None, **files: bytes) -> Path:
    """Change the manifest of a bundle, and give files another content with its honest hash."""
    path = root / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name, content in files.items():
        (root / name).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"size": len(content), "sha256": sha256}
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return root


def put(value: object, *place: str) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        for key in place[:-1]:
            manifest = manifest[key]
        manifest[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put(96, "mask_size"), "mask_logits as float32 [*, 96, 96]"),
        (put(256, "preprocessing", "size"), "pixel_values as float32 [*, 3, 256, 256]"),
        (put(["eye", "nose"], "labels"), "region_logits as float32 [*, 2]"),
        (put(4, "language", "heads"), "past_key_values.0.encoder.key as float32 [*, 4, 32, *]"),
        (put(64, "language", "d_kv"), "past_key_values.0.encoder.key as float32 [*, 8, 64, *]"),
        (put(255, "language", "vocabulary"), "logits as float32 [*, 255]"),
        (put(["qformer_output", "x"], "stages", "qformer", "outputs"), "outputs qformer_output, x"),
        (put(["image_embeds"], "stages", "qformer", "inputs"), "the inputs image_embeds"),
    ],
)
def test_a_manifest_of_other_sizes_than_its_graphs_is_refused(
    nano: Path, known: tuple[dict[str, GraphFacts], int], change: Change, said: str
) -> None:
    manifest = open_bundle(edit(nano, change)).manifest  # alone, it does not contradict itself
    error = raised(BundleContentError, lambda: require_agreement(manifest, *known))
    assert said in error.expected


def test_a_stage_with_the_graph_of_another_is_refused(nano: Path) -> None:
    edit(nano, put("graphs/qformer.onnx", "stages", "mask_decoder", "graph"))
    error = raised(BundleContentError, lambda: Analyzer(nano, device="cpu"))
    assert "mask_decoder" in error.what


@pytest.mark.parametrize("axes", [(None, 144, 161), (None, 144), (None, 1, 144, 160)])
def test_what_one_graph_gives_another_must_take(
    known: tuple[dict[str, GraphFacts], int], axes: tuple[int | None, ...]
) -> None:
    manifest = open_bundle(NANO).manifest
    graphs, width = known
    require_agreement(manifest, graphs, width)
    takes = {**graphs["qformer"].takes, "image_embeds": TensorFacts("float32", axes)}
    other = graphs | {"qformer": GraphFacts(takes, graphs["qformer"].gives)}
    error = raised(BundleContentError, lambda: require_agreement(manifest, other, width))
    assert "image_embeds as float32 [*, 144, 160]" in error.expected
    raised(BundleContentError, lambda: require_agreement(manifest, graphs, width + 1))


def test_a_face_detector_of_one_size_is_refused(
    known: tuple[dict[str, GraphFacts], int],
) -> None:
    graphs, width = known
    takes = {FACE_INPUT: TensorFacts("float32", (None, 3, 320, 320))}
    other = graphs | {FACE_DETECTOR: GraphFacts(takes, graphs[FACE_DETECTOR].gives)}
    manifest = open_bundle(NANO).manifest
    error = raised(BundleContentError, lambda: require_agreement(manifest, other, width))
    assert error.found == "float32 [*, 3, 320, 320]"


def npz(compressed: bool = False, **changed: Any) -> bytes:
    tensors = open_bundle(NANO).golden() | changed
    file = io.BytesIO()
    given = {name: value for name, value in tensors.items() if value is not None}
    (np.savez_compressed if compressed else np.savez)(file, **given)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"tensors",
        npz(compressed=True, image_embeds=np.zeros((1, 1000, 1000), np.float32)),
        npz(report_ids=None),
        npz(report_ids=np.zeros((1, 0), np.int64)),
        npz(report_ids=np.zeros((1, 9))),
        npz(mask_logits=np.zeros((1, 9, 9), np.float32)),
        npz(qformer_output=np.zeros(3, np.float32)),
        npz(unheard_of=np.zeros(3)),
    ],
)
def test_golden_tensors_that_are_none_are_refused(nano: Path, content: bytes) -> None:
    edit(nano, **{GOLDEN: content})
    raised(BundleContentError, open_bundle(nano).golden)
