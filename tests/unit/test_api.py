"""The one-line doors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ftsdk
from ftsdk import api
from ftsdk.analyzer import Analyzer
from ftsdk.errors import BundleNotFoundError, ImageNotFoundError, OptionError


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Let each test begin and end without a loaded model."""
    api._analyzer.cache_clear()
    yield
    api._analyzer.cache_clear()


def test_analyze_is_the_analyzer_s_answer(mini: Analyzer, mini_bundle: Path, face: Path) -> None:
    expected = mini.analyze(face)
    result = ftsdk.analyze(str(face), bundle=str(mini_bundle), device="cpu")
    assert result.report == expected.report
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)
    assert ftsdk.analyze(face, bundle=mini_bundle, device="cpu", report=False).report is None


def test_a_second_call_loads_nothing(
    mini_bundle: Path, face: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ftsdk.analyze(face, bundle=mini_bundle, device="cpu", report=False)
    monkeypatch.chdir(mini_bundle.parent)
    relative = Path(mini_bundle.name)
    ftsdk.analyze(face, bundle=relative, device="cpu", report=False)
    list(ftsdk.stream(face, bundle=mini_bundle, device="cpu", report=False))
    assert api._analyzer.cache_info().misses == 1


def test_stream_ends_with_the_result(mini_bundle: Path, face: Path) -> None:
    *_, last = ftsdk.stream(face, bundle=mini_bundle, device="cpu")
    assert isinstance(last, ftsdk.Finished)


def test_errors_come_through(mini_bundle: Path, tmp_path: Path, face: Path) -> None:
    with pytest.raises(BundleNotFoundError):
        ftsdk.analyze(face, bundle=tmp_path)
    with pytest.raises(ImageNotFoundError):
        ftsdk.analyze(tmp_path / "nowhere.png", bundle=mini_bundle, device="cpu")
    with pytest.raises(OptionError):
        ftsdk.analyze(face, bundle=mini_bundle, device="gpu0")
