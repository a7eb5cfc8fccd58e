"""Runs a bundle over a data set and holds its answers against the truth.

One picture is in memory at a time; of each answer a few numbers and the report's words are kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ft_eval.folders import PictureData
from ft_eval.outcomes import Outcome, Summary, judge, summarise
from ft_eval.robustness import distort
from ft_eval.text_metrics import DocumentFrequencies
from ft_forge.mmtt import Record
from ftsdk.analyzer import Analyzer
from ftsdk.answer import Provenance
from ftsdk.errors import DataError, FtsdkError
from ftsdk.result import Failure, Result

SCHEMA_VERSION = 1
#: The pictures as they are, among the names of distortions.
CLEAN = "clean"


@dataclass(frozen=True)
class Evaluation:
    """Every figure of one bundle on one data set.

    Attributes:
        provenance: what answered; of the data set's first picture.
        score_threshold: the shipped operating point; None if the model has no score.
        total: over all pictures; `families`: by kind of forgery, and the untouched; `sources`: of
            the untouched pictures, by where they come from, the most false alarms first.
        robustness: totals by distortion, without reports.
        failures: the pictures that could not be analysed and are in no figure.
    """

    provenance: Provenance
    score_threshold: float | None
    total: Summary
    families: dict[str, Summary]
    sources: dict[str, Summary]
    robustness: dict[str, Summary]
    failures: tuple[Failure, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as plain values."""
        made = self.provenance
        return {
            "schema_version": SCHEMA_VERSION,
            "bundle": {
                "name": made.bundle,
                "sha256": made.bundle_sha256,
                "precision": made.precision,
                "score_threshold": self.score_threshold,
            },
            "ran": {"ftsdk": made.ftsdk, "runtime": made.runtime, "device": made.device},
            "total": asdict(self.total),
            "families": {name: asdict(summary) for name, summary in self.families.items()},
            "sources": {name: asdict(summary) for name, summary in self.sources.items()},
            "robustness": {name: asdict(summary) for name, summary in self.robustness.items()},
            "failures": [
                {"picture": failure.name, "class": type(failure.error).__name__,
                 "what": failure.error.what, "found": failure.error.found}
                for failure in self.failures
            ],
        }  # fmt: skip


class _Run:
    """The outcomes so far, by distortion."""

    def __init__(self, analyzer: Analyzer, data: PictureData, distortions: Sequence[str]) -> None:
        self._analyzer, self._data = analyzer, data
        self.outcomes: dict[str, list[Outcome]] = {name: [] for name in (CLEAN, *distortions)}
        self.failures: list[Failure] = []
        self.first: Result | None = None

    def add(self, record: Record, report: bool) -> None:
        """Analyse one picture in every condition; it counts in all of them or in none."""
        try:
            picture, truth = self._data.picture(record), self._data.mask(record)
            answer = self._analyzer.analyze(picture.pixels, report=report)
            outcomes = [judge(record, answer, truth)]
            for name in list(self.outcomes)[1:]:
                harmed = distort(picture.pixels, name, zlib.crc32(str(record.image_id).encode()))
                outcomes.append(judge(record, self._analyzer.analyze(harmed, report=False), truth))
        except FtsdkError as error:
            self.failures.append(Failure(str(record.image_id), error))
            return
        self.first = self.first or answer
        for known, outcome in zip(self.outcomes.values(), outcomes, strict=True):
            known.append(outcome)

    def evaluation(self) -> Evaluation:
        """Return the figures.

        Raises:
            DataError: no picture could be analysed.
        """
        if self.first is None:
            raise _nothing(self.failures[0].error)
        clean = self.outcomes[CLEAN]
        pairs = [outcome.text for outcome in clean if outcome.text is not None]
        frequencies = DocumentFrequencies(pair.reference for pair in pairs)
        families = sorted({outcome.family for outcome in clean})
        return Evaluation(
            provenance=self.first.provenance,
            score_threshold=self.first.score_threshold,
            total=summarise(clean, clean, frequencies),
            families={
                family: summarise([o for o in clean if o.family == family], clean, frequencies)
                for family in families
            },
            sources=_by_source(clean, frequencies),
            robustness={
                name: summarise(outcomes, outcomes, frequencies)
                for name, outcomes in self.outcomes.items()
                if name != CLEAN
            },
            failures=tuple(self.failures),
        )


def _by_source(outcomes: Sequence[Outcome], frequencies: DocumentFrequencies) -> dict[str, Summary]:
    untouched = [outcome for outcome in outcomes if not outcome.forged and outcome.source]
    names = sorted({outcome.source for outcome in untouched})
    summaries = {
        name: summarise([o for o in untouched if o.source == name], outcomes, frequencies)
        for name in names
    }
    return dict(sorted(summaries.items(), key=lambda item: -(item[1].false_positive_rate or 0)))


def evaluate(
    analyzer: Analyzer,
    data: PictureData,
    *,
    report: bool = True,
    distortions: Sequence[str] = (),
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Analyse every picture of `data` and return the figures.

    Args:
        analyzer: the bundle, decoding reports as it does for users.
        data: the data set.
        report: False leaves the reports out, and every figure about them.
        distortions: names of `robustness.DISTORTIONS`; each analyses every picture once more.
        advance: called after each picture.

    Raises:
        DataError: no picture could be analysed.
    """
    run = _Run(analyzer, data, distortions)
    for record in data.records:
        run.add(record, report)
        advance()
    return run.evaluation()


def _nothing(first: FtsdkError) -> DataError:
    return DataError(
        "No picture of the data set could be analysed.",
        expected="pictures, and masks where the records name them",
        found=f"{type(first).__name__}: {first.what} ({first.found})",
        cure="check the paths; img_path and mask_path are relative to the record file",
    )
