"""`ftsdk.watch` with an analyzer of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, get_args

from ftsdk.analyzer import Analyzer
from ftsdk.errors import OptionError
from ftsdk.imaging.decode import Color
from ftsdk.streaming.answers import FrameAnswer, FrameMasked
from ftsdk.streaming.journal import Journal
from ftsdk.streaming.pipeline import Pipeline, Reports, Settings
from ftsdk.streaming.queues import Policy, check_policy
from ftsdk.streaming.sources import Capture, Source, open_source


def watch_with(
    analyzer: Analyzer,
    source: Any,
    *,
    policy: Policy | None = None,
    report: Reports | None = None,
    resume: str | Path | None = None,
    retries: int = 0,
    retry_wait: float = 1.0,
    timeout: float = 30.0,
    color: Color = "bgr",
) -> Iterator[FrameAnswer]:
    """Yield the answers to a source's frames; see `ftsdk.watch`."""
    journal = _open_journal(source, resume)
    opened = open_source(source, journal.done if journal else (), timeout)
    chosen = policy or ("newest only" if opened.live else "wait")
    reports = report or ("always" if opened.unrelated else "on change")
    check_policy(chosen)
    _check(reports, retries, retry_wait, timeout)
    order: Color = "bgr" if isinstance(opened, Capture) else color
    settings = Settings(chosen, reports, retries, retry_wait, timeout, order)
    return _noted(Pipeline(analyzer, opened, settings), journal, reports)


def _noted(pipeline: Pipeline, journal: Journal | None, reports: Reports) -> Iterator[FrameAnswer]:
    """Yield answers, and note a picture once the caller has come back from its last one."""
    with closing(pipeline.answers()) as answers, journal or nullcontext():
        for answer in answers:
            yield answer
            if journal and not (reports == "always" and isinstance(answer, FrameMasked)):
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


def _check(report: str, retries: int, retry_wait: float, timeout: float) -> None:
    limits = (
        ("report", report in get_args(Reports), ", ".join(f'"{r}"' for r in get_args(Reports))),
        ("retries", retries >= 0, "0 or more"),
        ("retry_wait", 0 <= retry_wait < float("inf"), "0 or more seconds"),
        ("timeout", timeout > 0, "more than 0 seconds"),
    )
    found = {"report": report, "retries": retries, "retry_wait": retry_wait, "timeout": timeout}
    for name, valid, expected in limits:
        if not valid:
            raise OptionError(
                f"{name} is outside its range",
                expected=expected,
                found=repr(found[name]),
                cure=f"pass another {name}",
            )
