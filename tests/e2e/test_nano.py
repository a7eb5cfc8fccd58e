"""The model that comes with the package, on the pictures that come with the project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import ftsdk
from ftsdk.trust import NANO

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "examples" / "pictures"


@pytest.fixture(scope="module")
def nano() -> Iterator[ftsdk.Analyzer]:
    with ftsdk.Analyzer(device="cpu") as analyzer:
        yield analyzer


def test_the_forged_portrait_is_found_and_localised(nano: ftsdk.Analyzer) -> None:
    result = nano.analyze(PICTURES / "portrait_forged.jpg")
    truth = cv2.imread(str(PICTURES / "portrait_forged_mask.png"), cv2.IMREAD_GRAYSCALE)
    assert truth is not None
    changed = truth > 0
    assert result.score is not None
    assert result.score_threshold is not None
    assert result.score > result.score_threshold
    assert result.mask.shape == changed.shape
    assert np.sum(result.mask & changed) / np.sum(result.mask | changed) > 0.5
    assert "eye" in [region.name for region in result.regions]
    assert result.report is not None
    assert any(part in result.report for part in ("eye", "mouth")), "both were removed"


def test_the_portrait_itself_is_left_alone(nano: ftsdk.Analyzer) -> None:
    result = nano.analyze(PICTURES / "portrait.jpg")
    assert result.finding.startswith("No manipulation found")
    assert not result.mask.any()
    assert result.report is not None
    assert result.report.startswith("No manipulation was found")


@pytest.mark.parametrize("graph", sorted(NANO.rglob("*.onnx")), ids=lambda path: path.stem)
def test_the_lowest_runtime_reads_each_graph(graph: Path) -> None:
    """ONNX Runtime 1.31 refuses what onnx writes unless it is told: IR version 14."""
    assert onnx.load(graph, load_external_data=False).ir_version == 10
