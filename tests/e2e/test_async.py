"""One analyzer and an event loop."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from counting import counted

import ftsdk

PICTURE = REPOSITORY / "examples" / "pictures" / "portrait_forged.jpg"
ENDLESS = {
    beams: ftsdk.Language(max_new_tokens=400, min_length=401, beams=beams) for beams in (1, 2)
}


@pytest.fixture(scope="module")
def picture() -> Path:
    return PICTURE


def test_the_answer_is_that_of_the_plain_call_and_the_loop_goes_on(picture: Path) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async def run(analyzer: ftsdk.Analyzer) -> tuple[ftsdk.Result, list[ftsdk.Event]]:
        clock = asyncio.create_task(tick())
        result = await analyzer.analyze_async(picture)
        events = [event async for event in analyzer.stream_async(picture, report=False)]
        clock.cancel()
        return result, events

    with ftsdk.Analyzer(device="cpu", threads=1) as analyzer:
        result, events = asyncio.run(run(analyzer))
        alone = analyzer.analyze(picture)
    assert result.report_ids == alone.report_ids
    np.testing.assert_array_equal(result.probabilities, alone.probabilities)
    assert [type(event).__name__ for event in events] == ["RegionsFound", "MaskReady", "Finished"]
    assert ticks > 10


@pytest.mark.parametrize("beams", [1, 2])
def test_cancelling_the_task_stops_the_decoder(picture: Path, beams: int) -> None:
    """Beam search says nothing until its end, and stops all the same."""

    async def run(analyzer: ftsdk.Analyzer) -> None:
        task = asyncio.create_task(analyzer.analyze_async(picture))
        while engines["language_decoder"].calls < 5:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)

    with ftsdk.Analyzer(device="cpu", threads=1, language=ENDLESS[beams]) as analyzer:
        _, engines = counted(analyzer)
        asyncio.run(run(analyzer))
        stopped = engines["language_decoder"].calls
        time.sleep(0.2)
        assert 5 <= engines["language_decoder"].calls == stopped < 400


def test_a_stream_that_is_left_stops_the_decoder(picture: Path) -> None:
    async def run(analyzer: ftsdk.Analyzer) -> None:
        events = analyzer.stream_async(picture)
        async for event in events:
            if isinstance(event, ftsdk.ReportToken):
                break
        await events.aclose()

    with ftsdk.Analyzer(device="cpu", threads=1, language=ENDLESS[1]) as analyzer:
        _, engines = counted(analyzer)
        asyncio.run(run(analyzer))
        time.sleep(0.2)
        assert engines["language_decoder"].calls <= 2


def test_a_bad_picture_raises_in_the_task() -> None:
    with ftsdk.Analyzer(device="cpu", threads=1) as analyzer:
        with pytest.raises(ftsdk.FtsdkError):
            asyncio.run(analyzer.analyze_async(b"nothing"))
        with pytest.raises(ftsdk.FtsdkError):
            asyncio.run(analyzer.analyze_async(PICTURE, timeout=0.0))
