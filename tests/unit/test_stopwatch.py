"""Times by step, and the one door through which a step's foreign errors go."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from raising import raised

from ftsdk.analyzer import Analyzer
from ftsdk.errors import AnalysisFailedError, NumericalError
from ftsdk.result import Failure, Result
from ftsdk.stopwatch import Stopwatch


@pytest.mark.parametrize(
    "error",
    [MemoryError(), zlib.error("-3"), struct.error("short"), RecursionError(), KeyError("mask")],
    ids=lambda error: type(error).__name__,
)
def test_a_foreign_error_is_typed_with_its_cause(error: Exception) -> None:
    def step() -> None:
        with Stopwatch().measure("mask_decoder"):
            raise error

    failure = raised(AnalysisFailedError, step)
    assert "mask_decoder" in failure.what
    assert type(error).__name__ in failure.found
    assert failure.__cause__ is error


def test_an_error_of_opencv_is_typed() -> None:
    def step() -> None:
        with Stopwatch().measure("face"):
            cv2.resize(np.zeros((0, 5), np.uint8), (3, 3))

    assert isinstance(raised(AnalysisFailedError, step).__cause__, cv2.error)


def test_own_errors_and_interrupts_pass() -> None:
    own = NumericalError("a", expected="b", found="c", cure="d")
    for error in (own, KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, Stopwatch().measure("step"):
            raise error
        assert caught.value is error


def test_what_is_left() -> None:
    assert Stopwatch().left == float("inf")
    assert 0 < Stopwatch(timeout=60).left <= 60
    assert Stopwatch(timeout=0).left == 0


def test_one_picture_never_ends_many(mini: Analyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it sets off in a library."""
    whole, strip = np.full((64, 64, 3), 99, np.uint8), np.full((16, 7200, 3), 120, np.uint8)
    framed = mini.chain.frame

    def narrow(picture: object, framer: object) -> object:
        if picture.width == 7200:  # type: ignore[attr-defined]
            raise MemoryError
        return framed(picture, framer)  # type: ignore[arg-type]

    answers = [*mini.analyze_many([whole, strip, whole], report=False)]
    assert [type(answer) for answer in answers] == [Result] * 3
    monkeypatch.setattr(mini.chain, "frame", narrow)
    answers = [*mini.analyze_many([whole, strip, whole], report=False)]
    assert [type(answer) for answer in answers] == [Result, Failure, Result]
