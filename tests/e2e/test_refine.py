"""A user's corrections: what runs again, what is kept, what they lead to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from counting import Counted

from ftsdk.analyzer import Analyzer


def test_refine_does_not_encode_the_picture_again(counted: Counted, face: Path) -> None:
    analyzer, engines = counted
    result = analyzer.analyze(face)
    before = {name: engine.calls for name, engine in engines.items()}
    refined = analyzer.refine(result, regions=["nose", "lip"])
    ran = {name for name, engine in engines.items() if engine.calls > before[name]}
    assert ran == {"mask_decoder", "qformer", "language_encoder", "language_decoder"}
    direct = analyzer.analyze(face, regions=["nose", "lip"])
    np.testing.assert_array_equal(refined.probabilities, direct.probabilities)
    assert refined.report == direct.report
    assert refined.regions == direct.regions
    assert refined.corrections == direct.corrections == ("regions",)


def test_refine_keeps_what_was_corrected_before(counted: Counted, face: Path) -> None:
    analyzer, engines = counted
    result = analyzer.analyze(face, report=False)
    painted = np.zeros(result.mask.shape, bool)
    painted[20:60, 30:90] = True
    masked = analyzer.refine(result, mask=painted)
    assert masked.corrections == ("mask",)
    assert [region.name for region in masked.regions] == [r.name for r in result.regions]
    overlap = (masked.mask & painted).sum() / (masked.mask | painted).sum()
    assert overlap > 0.95
    calls = engines["mask_decoder"].calls
    both = analyzer.refine(masked, regions=["nose"])
    assert both.corrections == ("regions", "mask")
    assert engines["mask_decoder"].calls == calls
    assert (both.mask & painted).sum() / (both.mask | painted).sum() > 0.95
    assert analyzer.refine(both).regions == both.regions
    assert both.report is None


def test_refine_does_not_change_the_result_it_refines(mini: Analyzer, face: Path) -> None:
    result = mini.analyze(face)
    before = result.to_json(), {k: v.copy() for k, v in result.image_tensors.items()}
    mini.refine(result, regions=["nose"])
    mini.refine(result, regions=["hair"], mask=np.ones(result.mask.shape, bool))
    assert result.to_json() == before[0]
    assert set(result.image_tensors) == set(before[1])
    for name, value in result.image_tensors.items():
        np.testing.assert_array_equal(value, before[1][name])
