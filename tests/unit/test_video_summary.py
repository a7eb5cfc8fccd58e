"""What is said of a whole video: that many frames are many chances is taken into account."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from ftsdk import Analyzer, FrameMasked, FrameReported, Result, VideoSummary
from ftsdk.streaming.answers import Frame
from ftsdk.validity import CannotTell, Reason

MADE_FOR = "that the model was made for"


@pytest.fixture(scope="module")
def answered() -> Result:
    with Analyzer(device="cpu") as analyzer:
        picture = REPOSITORY / "examples" / "pictures" / "portrait_forged.jpg"
        return analyzer.analyze(picture, report=False)


def summary(answered: Result, kinds: str) -> VideoSummary:
    """Summarise a frame a letter: Suspected, Nothing found, Unsure, Faceless, Without a score."""
    empty = np.zeros_like(answered.probabilities)
    untold = {"U": Reason.UNSURE, "F": Reason.NO_FACE}
    summary = VideoSummary()
    for number, kind in enumerate(kinds):
        result = answered
        if kind in "NW":
            score = 0.1 if kind == "N" else None
            result = dataclasses.replace(answered, score=score, probabilities=empty)
        if kind in untold:
            why = CannotTell(untold[kind], "...")
            result = dataclasses.replace(
                answered, score=None, score_threshold=None, cannot_tell=why, probabilities=empty,
                limits=(),
            )  # fmt: skip
        frame = Frame(number, f"{number}", number / 25)
        summary.add(FrameMasked(frame, result, 1.0, 0))
        summary.add(FrameReported(frame, result, 1.0, 0))
    return summary


@pytest.mark.parametrize(("kinds", "finding"), [
    ("SSSN", f"Manipulation suspected in 3 of 4 frames {MADE_FOR}."),
    ("SSNN", f"Weak signs only: manipulation suspected in 2 of 4 frames {MADE_FOR}, "
             "not in most of them."),
    ("SUUN", f"Weak signs only: manipulation suspected in 1 of 4 frames {MADE_FOR}, "
             "not in most of them."),
    ("SFFF", f"Manipulation suspected in 1 of 1 frame {MADE_FOR}."),
    ("NNUF", f"No manipulation found in 2 of 3 frames {MADE_FOR}."),
    ("FUFU", None),
    ("WW", None),
])  # fmt: skip
def test_a_video_is_suspected_where_most_of_its_frames_are(
    answered: Result, kinds: str, finding: str | None
) -> None:
    made = summary(answered, kinds)
    assert made.finding == finding
    assert made.suspected is (None if finding is None else finding.startswith("Manipulation"))
    assert [*made.lines()][1 + len(made.stretches) :] == ([finding] if finding else [])


def test_a_summary_as_json_says_what_its_attributes_say(answered: Result) -> None:
    document = json.loads(json.dumps(summary(answered, "SSNFUS").to_dict()))
    assert document["finding"] == f"Manipulation suspected in 3 of 5 frames {MADE_FOR}."
    counts = {name: document[name] for name in ("masked", "judged", "marked", "failed")}
    assert counts == {"masked": 6, "judged": 5, "marked": 3, "failed": 0}
    assert document["cannot_tell"] == {"no face": 1, "unsure": 1}
    assert [one["frames"] for one in document["stretches"]] == [2, 1]
    assert [one["first"] for one in document["stretches"]] == [0, 0.2]
    assert document["stretches"][0]["score"] == answered.score
    nothing = summary(answered, "WW").to_dict()
    assert nothing["finding"] is nothing["suspected"] is None
    assert nothing["stretches"] == []


def test_what_limits_the_answers_is_told_although_the_last_frame_has_none(
    answered: Result,
) -> None:
    limits = answered.limits
    assert limits
    assert summary(answered, "SNF").notes[-len(limits) :] == limits
    assert set(summary(answered, "F").notes).isdisjoint(limits)


@given(videos=st.lists(st.text("SNU", min_size=1, max_size=12), min_size=1, max_size=12))
def test_untouched_videos_are_suspected_at_most_twice_as_often_as_their_frames(
    answered: Result, videos: list[str]
) -> None:
    made = [summary(answered, kinds) for kinds in videos]
    suspected = np.mean([one.suspected is True for one in made])
    assert suspected <= 2 * np.mean([one.marked / one.judged for one in made])
