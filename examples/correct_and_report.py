# For an analyst's tool: a person corrects the model's answer, and signs the report of it.
"""Usage: python examples/correct_and_report.py face.jpg report.html mouth,nose "Ada Lovelace" """

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import ftsdk
from ftsdk.report.edits import Edit


def main(picture: str, report: str, regions: str, analyst: str) -> None:
    """Write a report of the picture with the analyst's regions and mask in place of the model's."""
    chosen = regions.split(",")
    with ftsdk.Analyzer() as analyzer:
        found = analyzer.analyze(picture)
        print("The model:", found.report)
        # As a brush would paint it: here everything that the model holds at all possible.
        painted = np.asarray(found.heatmap > 0.1)
        # The words are written again; the vision encoder does not run again.
        corrected = analyzer.refine(found, regions=chosen, mask=painted)
    print("Corrected:", corrected.report)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    edit = Edit(at=at, by=analyst, regions=tuple(chosen), mask=True)
    corrected.to_html(report, analyst=analyst, edits=[edit], original=Path(picture))
    print("The report is in", report)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
