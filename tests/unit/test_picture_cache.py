"""The same picture again goes straight to the words."""

from __future__ import annotations

from pathlib import Path

import counting
import numpy as np
import pytest
from counting import Counted

from ftsdk.analyzer import Analyzer

BEFORE_THE_WORDS = (
    "vision_encoder", "forgery_prompter", "mask_decoder", "qformer", "language_encoder",
)  # fmt: skip


def calls(counted: Counted) -> dict[str, int]:
    return {stage: counted[1][stage].calls for stage in BEFORE_THE_WORDS}


def test_by_content_whatever_it_is_called(counted: Counted, face: Path, tmp_path: Path) -> None:
    analyzer, _ = counted
    first = analyzer.analyze(face)
    renamed = tmp_path / "renamed.png"
    renamed.write_bytes(face.read_bytes())
    second = analyzer.analyze(renamed)
    assert calls(counted) == dict.fromkeys(BEFORE_THE_WORDS, 1)
    assert second.report == first.report
    np.testing.assert_array_equal(second.probabilities, first.probabilities)
    assert second.picture.name == "renamed.png"


def test_another_question_asks_only_what_depends_on_it(counted: Counted, face: Path) -> None:
    analyzer, _ = counted
    result = analyzer.analyze(face, regions=["nose"])
    analyzer.refine(result, regions=["lip"])
    analyzer.refine(result, regions=["nose"])
    expected = dict.fromkeys(BEFORE_THE_WORDS, 2) | {"vision_encoder": 1, "forgery_prompter": 1}
    assert calls(counted) == expected


def test_painted_masks_are_told_apart(counted: Counted, face: Path) -> None:
    analyzer, engines = counted
    result = analyzer.analyze(face)
    mask = np.zeros((result.picture.height, result.picture.width), np.bool_)
    painted = analyzer.refine(result, mask=mask)
    mask[10:40, 10:40] = True
    again = analyzer.refine(result, mask=mask)
    assert engines["qformer"].calls == 3
    assert painted.mask.sum() < again.mask.sum()


@pytest.mark.parametrize("limit", [0, 50])
def test_off_or_too_small_it_keeps_nothing(mini_bundle: Path, face: Path, limit: int) -> None:
    with Analyzer(mini_bundle, device="cpu", threads=1, cache_bytes=limit) as analyzer:
        counted = counting.counted(analyzer)
        analyzer.analyze(face)
        analyzer.analyze(face)
        assert calls(counted) == dict.fromkeys(BEFORE_THE_WORDS, 2)
        assert analyzer.stages.cache.used_bytes <= limit
