"""The report file: whole, self-contained, and deaf to what pictures and people smuggle in."""

from __future__ import annotations

import html.parser
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import encoded

from ftsdk.answer import Provenance, Region
from ftsdk.errors import ImageNotFoundError, OptionError
from ftsdk.imaging.decode import decode
from ftsdk.report.edits import Edit
from ftsdk.report.markup import element
from ftsdk.report.words import CAUTION, score_note
from ftsdk.result import Result

_ATTACK = "\"><script>alert('x')</script><img src=x onerror=y>"


class _Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(document: str) -> _Reader:
    reader = _Reader()
    reader.feed(document)
    return reader


@pytest.fixture(scope="module")
def result() -> Result:
    picture = replace(decode(encoded("jpeg")), name="face.jpg", notes=("Turned upright.",))
    made = Provenance(
        "0.1", "tiny", "ab" * 32, "float32", "runtime 1", "cpu", picture.sha256, "now"
    )
    return Result(
        picture=picture, face=None, probabilities=np.eye(8, dtype=np.float32), mask_threshold=0.5,
        regions=(Region("mouth", 0.91, 0.5), Region("nose", 0.6)),
        region_probabilities={"mouth": 0.91, "nose": 0.6}, report="The mouth is blurred.",
        report_ids=(0, 5), score=0.83, score_threshold=0.7, corrections=(),
        limits=("A hint, not proof.",), timings={"decode": 1.5, "total": 1.5}, provenance=made,
        image_tensors={}, operating_point="fpr_0.05",
    )  # fmt: skip


def test_it_says_everything(result: Result) -> None:
    text = _read(result.to_html(analyst="Ada")).text
    for part in (
        result.finding, "mouth", "0.91", "The mouth is blurred.", "0.830", "fpr_0.05", "0.700",
        result.picture.sha256, "ab" * 32, "tiny", "float32", "runtime 1", "cpu", "1.5 ms", "Ada",
        "A hint, not proof.", "Turned upright.", CAUTION, "Content Credentials",
    ):  # fmt: skip
        assert part in text


def test_it_needs_nothing_from_elsewhere(result: Result) -> None:
    reader = _read(result.to_html())
    assert "script" not in reader.tags
    assert "link" not in reader.tags
    sources = [value or "" for name, value in reader.attributes if name in ("src", "href")]
    assert len(sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "url(" not in result.to_html()


def test_it_never_calls_a_picture_authentic(result: Result) -> None:
    for score in (0.1, 0.9, None):
        text = _read(replace(result, score=score).to_html()).text.lower()
        assert "authentic" not in text


@pytest.mark.parametrize("place", ["name", "report", "analyst", "edit", "region", "warning"])
def test_what_comes_from_outside_is_escaped(result: Result, place: str) -> None:
    changed, analyst, edits = result, None, ()
    if place == "name":
        changed = replace(result, picture=replace(result.picture, name=_ATTACK))
    elif place == "report":
        changed = replace(result, report=_ATTACK)
    elif place == "region":
        changed = replace(result, regions=(Region(_ATTACK, 0.5),))
    elif place == "warning":
        changed = replace(result, limits=(_ATTACK,))
    elif place == "analyst":
        analyst = _ATTACK
    else:
        edits = (Edit("now", _ATTACK, (_ATTACK,), mask=True),)
    reader = _read(changed.to_html(analyst=analyst, edits=edits))
    assert reader.tags.count("img") == 3
    assert "script" not in reader.tags
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert _ATTACK in reader.text


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    reader = _read(element("p", text, title=text))
    assert reader.tags == ["p"]
    assert element("p", text).encode()


def test_corrections_tell_who_when_and_what(result: Result) -> None:
    edits = [
        Edit("2026-01-02T03:04:05+00:00", "Ada", ("nose",), mask=True),
        Edit("2026-01-02T03:05:05+00:00", None, None, mask=True),
    ]
    text = _read(replace(result, corrections=("regions", "mask")).to_html(edits=edits)).text
    assert "2026-01-02T03:04:05+00:00, by Ada: regions set to nose; mask painted" in text
    assert "by somebody who gave no name: mask painted" in text
    assert "Corrected by the user: regions and mask" in text


def test_it_is_written_as_returned(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    document = result.to_html(path)
    assert path.read_text(encoding="utf-8") == document


def test_a_notebook_shows_finding_report_and_overlay(result: Result) -> None:
    shown = result._repr_html_()
    assert element("strong", result.finding) in shown
    assert element("p", result.report) in shown
    kind, data = dict(_read(shown).attributes)["src"].split(",", 1)
    assert kind == "data:image/jpeg;base64"
    overlay = cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert overlay.shape == result.picture.pixels.shape
    assert np.abs(overlay.astype(int) - result.plot()).mean() < 12


def test_a_notebook_shows_no_empty_words_and_no_markup_of_strangers(result: Result) -> None:
    silent = replace(result, report=None, picture=replace(result.picture, name="<b>.jpg"))
    shown = silent._repr_html_()
    assert shown.count("<p>") == 1
    assert "<b>" not in shown


def test_an_original_that_is_gone_is_an_error(result: Result, tmp_path: Path) -> None:
    for gone in (tmp_path / "gone.jpg", str(tmp_path)):
        with pytest.raises(ImageNotFoundError) as caught:
            result.to_html(original=gone)
        assert "original" in caught.value.cure


def test_another_original_is_refused(result: Result) -> None:
    with pytest.raises(OptionError, match="another file"):
        result.to_html(original=encoded("png"))
    assert "None found" in result.to_html(original=encoded("jpeg")) or "Not read" in result.to_html(
        original=encoded("jpeg")
    )


def test_words_for_scores(result: Result) -> None:
    assert "5% of the untouched pictures" in score_note(result)
    assert "no overall score" in score_note(replace(result, score=None))
    assert "(operating point balanced)" in score_note(replace(result, operating_point="balanced"))
