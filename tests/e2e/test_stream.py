"""Events in their order, and streams that nobody reads to the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from counting import Counted

import ftsdk
from ftsdk.analyzer import Analyzer

WITHOUT_END = ftsdk.Language(max_new_tokens=20, min_length=100)


def test_events_come_in_order_and_add_up(mini: Analyzer, face: Path) -> None:
    events = list(mini.stream(face))
    regions, mask, *tokens, finished = events
    assert isinstance(regions, ftsdk.RegionsFound)
    assert isinstance(mask, ftsdk.MaskReady)
    assert tokens
    assert all(isinstance(token, ftsdk.ReportToken) for token in tokens)
    assert isinstance(finished, ftsdk.Finished)
    result = finished.result
    assert "".join(token.text for token in tokens) == result.report
    assert (0, *(token.id for token in tokens)) == result.report_ids
    assert mask.regions == result.regions
    assert [(r.name, r.probability) for r in regions.regions] == [
        (r.name, r.probability) for r in result.regions
    ]
    assert all(region.area is None for region in regions.regions)
    np.testing.assert_array_equal(mask.probabilities, result.probabilities)


def test_words_are_written_one_by_one(counted: Counted, face: Path) -> None:
    """The third token is out while the decoder has run for the fourth and no further."""
    analyzer, engines = counted
    analyzer.language = WITHOUT_END
    tokens = 0
    for event in analyzer.stream(face):
        if isinstance(event, ftsdk.ReportToken):
            tokens += 1
            assert engines["language_decoder"].calls == min(tokens + 1, 20)
    assert tokens == 20


def test_the_mask_is_out_before_the_language_model_starts(counted: Counted, face: Path) -> None:
    analyzer, engines = counted
    for event in analyzer.stream(face):
        if isinstance(event, ftsdk.MaskReady):
            break
    assert engines["mask_decoder"].calls == 1
    assert engines["qformer"].calls == engines["language_encoder"].calls == 0


@pytest.mark.parametrize("read", [0, 1, 2, 3, 7])
def test_a_stream_that_is_closed_stops_the_decoder(counted: Counted, face: Path, read: int) -> None:
    analyzer, engines = counted
    analyzer.language = WITHOUT_END
    stream = analyzer.stream(face)
    for _ in range(read):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    tokens = max(0, read - 2)
    assert engines["language_decoder"].calls == (tokens + 1 if tokens else 0)
    assert engines["vision_encoder"].calls == min(read, 1)
    assert analyzer.analyze(face, report=False).mask.shape == (90, 120)


def test_without_a_report_there_are_no_words(mini: Analyzer, face: Path) -> None:
    kinds = [type(event).__name__ for event in mini.stream(face, report=False)]
    assert kinds == ["RegionsFound", "MaskReady", "Finished"]


def test_beam_search_writes_its_text_at_the_end(mini_bundle: Path, face: Path) -> None:
    with Analyzer(mini_bundle, device="cpu", language=ftsdk.Language(beams=3)) as analyzer:
        *events, finished = analyzer.stream(face)
    assert isinstance(finished, ftsdk.Finished)
    words = [event.text for event in events if isinstance(event, ftsdk.ReportToken)]
    assert "".join(words) == finished.result.report
