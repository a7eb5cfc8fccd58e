"""`ftsdk.watch` with an analyzer of one's own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftsdk.analyzer import Analyzer
from ftsdk.errors import OptionError
from ftsdk.streaming.answers import FrameAnswer, is_last
from ftsdk.streaming.journal import Journal
from ftsdk.streaming.options import Reports, WatchOptions
from ftsdk.streaming.pipeline import Pipeline
from ftsdk.streaming.sources import Capture, Source, open_source

DEFAULT = WatchOptions()


def watch_with(
    analyzer: Analyzer, source: Any, options: WatchOptions = DEFAULT
) -> Generator[FrameAnswer, None, None]:
    """Yield the answers to a source's frames; see `ftsdk.watch`."""
    journal = _open_journal(source, options.resume)
    opened = open_source(source, journal.done if journal else (), options.timeout)
    reports = options.report or ("always" if opened.unrelated else "on change")
    chosen = replace(
        options,
        policy=options.policy or ("newest only" if opened.live else "wait"),
        report=reports,
        color="bgr" if isinstance(opened, Capture) else options.color,
    )
    return _noted(Pipeline(analyzer, opened, chosen), journal, reports)


def _noted(
    pipeline: Pipeline, journal: Journal | None, reports: Reports
) -> Generator[FrameAnswer, None, None]:
    """Yield answers, and note a picture once the caller has come back from its last one."""
    with closing(pipeline.answers()) as answers, journal or nullcontext():
        for answer in answers:
            yield answer
            if journal and is_last(answer, reports == "always"):
                journal.note(answer.frame.name)


def _open_journal(source: Any, resume: str | Path | None) -> Journal | None:
    if resume is None:
        return None
    if isinstance(source, Source | int) or not isinstance(source, str | Path):
        found = type(source).__name__
    elif not Path(source).is_dir():
        found = str(source)
    else:
        return Journal(Path(resume))
    raise OptionError(
        "only a folder can be resumed",
        expected="a folder of pictures",
        found=found,
        cure="leave resume= out",
    )
