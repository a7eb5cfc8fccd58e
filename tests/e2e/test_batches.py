"""Many pictures with one analyzer: one after the other, and from several threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ftsdk
from ftsdk.analyzer import Analyzer
from ftsdk.errors import ImageFormatError, InputError, OptionError


def test_one_bad_picture_does_not_end_a_batch(mini: Analyzer, face: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(face.read_bytes()[:500])
    sources = [face, tmp_path / "bad.png", b"nonsense", np.zeros((3, 3), np.float64), face]
    answers = mini.analyze_many(iter(sources), report=False)
    assert isinstance(next(answers), ftsdk.Result)
    failures = [next(answers) for _ in range(3)]
    assert isinstance(next(answers), ftsdk.Result)
    assert next(answers, None) is None
    assert all(isinstance(failure, ftsdk.Failure) for failure in failures)
    assert [failure.name for failure in failures] == [
        str(tmp_path / "bad.png"), "picture 2", "picture 3",
    ]  # fmt: skip
    assert all(isinstance(failure.error, InputError) for failure in failures)


def test_one_picture_is_no_batch(mini: Analyzer, face: Path) -> None:
    pixels = np.zeros((20, 20, 3), np.uint8)
    for one in (str(face), face, face.read_bytes(), face.open("rb"), pixels, pixels[..., 0]):
        with pytest.raises(OptionError, match="several are expected"):
            next(mini.analyze_many(one))
    with pytest.raises(ImageFormatError) as caught:
        mini.analyze([face])
    assert "analyze_many" in caught.value.cure
    stack = np.stack([pixels, pixels])
    assert len([*mini.analyze_many(stack, report=False)]) == 2
    assert len([*mini.analyze_many(stack[..., 0], report=False)]) == 2


def test_a_batch_reads_its_pictures_one_at_a_time(mini: Analyzer, face: Path) -> None:
    taken = []

    def pictures() -> Iterator[Path]:
        for number in range(3):
            taken.append(number)
            yield face

    answers = mini.analyze_many(pictures(), report=False)
    next(answers)
    assert taken == [0]


def test_many_threads_may_share_an_analyzer(mini_bundle: Path, parity: Path) -> None:
    pictures = sorted((parity / "expected").glob("image*.png"))
    language = ftsdk.Language(max_new_tokens=12, min_length=13)
    with Analyzer(mini_bundle, device="cpu", threads=1, language=language) as analyzer:
        expected = {picture: analyzer.analyze(picture) for picture in pictures}
        wrong: list[str] = []
        start = threading.Barrier(8)

        def work(number: int) -> None:
            start.wait()
            for turn in range(3):
                picture = pictures[(number + turn) % len(pictures)]
                found, right = analyzer.analyze(picture), expected[picture]
                same = np.array_equal(found.probabilities, right.probabilities)
                if not same or found.report_ids != right.report_ids:
                    wrong.append(picture.name)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
