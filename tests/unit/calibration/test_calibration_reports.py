"""Reports with what a language model is given for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_calibration.reports import (
    MOST_JUDGES,
    MOST_REPORTS,
    Report,
    read_reports,
    share_reports,
    write_reports,
)
from ftsdk.errors import DataError


def test_reports_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "reports.npz"
    values = np.linspace(-1, 1, 24, dtype=np.float32).reshape(1, 4, 6)
    reports = [Report(values, ["nose", "lip"], "The nose."), Report(-values, [], "Nothing.")]
    write_reports(path, reports)
    found = read_reports(path)
    assert [(r.regions, r.text) for r in found] == [(r.regions, r.text) for r in reports]
    for one, other in zip(found, reports, strict=True):
        np.testing.assert_allclose(one.qformer_output, other.qformer_output, atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_what_is_no_reports_file_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reports.npz"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_reports(path)


def test_no_more_are_read_than_the_gate_needs(tmp_path: Path) -> None:
    path = tmp_path / "reports.npz"
    one = Report(np.zeros((1, 2, 3), np.float32), [], "a")
    write_reports(path, [one] * (MOST_REPORTS + 5))
    assert len(read_reports(path)) == MOST_REPORTS


@given(st.integers(2, 300), st.booleans())
def test_no_report_that_was_observed_judges(count: int, observe: bool) -> None:
    reports = [Report(np.zeros((1, 1, 1), np.float32), [], str(index)) for index in range(count)]
    shared = share_reports(reports, observe)
    observed, judges = ([one.text for one in part] for part in (shared.observed, shared.judges))
    assert 1 <= len(judges) <= MOST_JUDGES
    assert len({*observed} | {*judges}) == len(observed) + len(judges)
    assert len(observed) == (count - len(judges) if observe else 0)
    assert len(observed) >= 3 * len(judges) or not observe or count < 4


def test_a_full_file_is_judged_by_the_same_reports_whether_others_are_observed() -> None:
    reports = [Report(np.zeros((1, 1, 1), np.float32), [], str(i)) for i in range(MOST_REPORTS)]
    assert share_reports(reports, True).judges == share_reports(reports, False).judges


def test_one_report_is_too_few_to_observe() -> None:
    with pytest.raises(DataError, match="one report"):
        share_reports([Report(np.zeros((1, 1, 1), np.float32), [], "")], observe=True)
