"""Reports with what a language model is given for them, to hold a lowered model against float32.

python -m ft_calibration.reports --bundle float32.bundle --data mmtt/ --out reports.npz
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ftsdk.errors import DataError
from ftsdk.files import read_regular
from ftsdk.numpy_files import arrays_in

#: Reports that judge: enough for a stable mean; each takes two decodings a model.
MOST_JUDGES = 32
#: With those that are observed: about 4000 rows of activations, as many as the widest layer's.
MOST_REPORTS = 128
#: Unpacked; ten times what that many take for the published model.
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Report:
    """A text to be teacher-forced, and what the language model is given for it.

    Attributes:
        qformer_output: [1, Q, W] float32.
        regions: the names in the prompt.
        text: the report.
    """

    qformer_output: NDArray[np.float32]
    regions: list[str]
    text: str


@dataclass(frozen=True)
class SharedReports:
    """Reports to observe a model on, and others to judge it by."""

    observed: Sequence[Report]
    judges: Sequence[Report]


def share_reports(reports: Sequence[Report], observe: bool) -> SharedReports:
    """Divide reports, evenly spread, so that none that was observed judges.

    Args:
        reports: one or more.
        observe: three quarters of the reports are observed, unless there are MOST_JUDGES for the
            rest; otherwise none is.

    Raises:
        DataError: there is only one report, which cannot be observed and judge.
    """
    if observe and len(reports) < 2:
        raise DataError(
            "one report cannot be observed and judge as well",
            expected="two reports or more; 128 are best",
            found=f"{len(reports)}",
            cure="write more: python -m ft_calibration.reports --help",
        )
    count = max(1, min(MOST_JUDGES, len(reports) // 4 if observe else len(reports)))
    judges = {index * len(reports) // count for index in range(count)}
    others = (report for index, report in enumerate(reports) if index not in judges)
    return SharedReports([*others] if observe else [], [reports[index] for index in sorted(judges)])


def read_reports(path: Path) -> list[Report]:
    """Return at most MOST_REPORTS of a file's reports.

    `path` is an `.npz` of `qformer_output` [N, Q, W] float, `regions` [N] str (names joined by
    ", ") and `text` [N] str.

    Raises:
        DataError: it is not that.
    """
    try:
        arrays = arrays_in(read_regular(path), most=_MOST_BYTES)
        outputs = arrays["qformer_output"].astype(np.float32)
        regions, texts = arrays["regions"].tolist(), arrays["text"].tolist()
        reports = [
            Report(output[None], names.split(", ") if names else [], text)
            for output, names, text in zip(outputs, regions, texts, strict=True)
        ]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} holds no reports",
            expected="an .npz of qformer_output [N, Q, W], regions [N] and text [N]",
            found=f"{type(error).__name__}: {str(error)[:300]}",
            cure="write it again: python -m ft_calibration.reports --help",
        ) from error
    return reports[:MOST_REPORTS]


def write_reports(path: Path, reports: Sequence[Report]) -> None:
    """Write what `read_reports` reads; `qformer_output` in float16."""
    outputs = np.concatenate([report.qformer_output for report in reports]).astype(np.float16)
    regions = np.array([", ".join(report.regions) for report in reports])
    texts = np.array([report.text for report in reports])
    np.savez_compressed(path, qformer_output=outputs, regions=regions, text=texts)


def collect(bundle: Path, data: Path, count: int) -> Iterator[Report]:
    """Yield the captions of pictures with what `bundle` makes of the pictures.

    Raises:
        DataError: the data set cannot be read.
        BundleError: the bundle is at fault.
    """
    from ft_forge.mmtt import MmttData
    from ftsdk.analyzer import Analyzer

    records = MmttData(data, count)
    with Analyzer(bundle, device="cpu", cache_bytes=0) as analyzer:
        for record in islice(records.records, count):
            trace = analyzer.trace(records.picture(record).pixels)
            named = np.flatnonzero(trace["region_labels"][0])
            labels = [analyzer.bundle.manifest.labels[index] for index in named]
            yield Report(trace["qformer_output"], labels, record.caption)


def main(
    bundle: Annotated[Path, typer.Option(help="A bundle with float32 encoders.")],
    data: Annotated[Path, typer.Option(help="A data set in MMTT's layout.")],
    out: Annotated[Path, typer.Option(help="The .npz to write, for ft-export --reports.")],
    count: Annotated[int, typer.Option(min=2, help="How many reports.")] = MOST_REPORTS,
) -> None:
    """Write the reports of a data set, for GPTQ and the text gate of `ft-export`."""
    from ftsdk.cli.terminal import exit_on_error

    with exit_on_error():
        write_reports(out, list(collect(bundle, data, count)))


if __name__ == "__main__":
    typer.run(main)
