from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_forge import FAMILIES, LABELS
from ft_forge.words import (
    all_sentences,
    nothing_found,
    report,
    spoken_parts,
    words_for,
)
from ftsdk.claims import named_regions
from ftsdk.regions import REGIONS

TRACES = (
    "seam", "soft_edge", "colour", "light", "texture", "blur", "missing", "smooth", "sharp",
    "warp", "shape", "noise", "compression", "doubled",
)  # fmt: skip


@given(
    names=st.lists(st.sampled_from(LABELS), max_size=9, unique=True),
    family=st.sampled_from(sorted(FAMILIES)),
    traces=st.lists(st.sampled_from(TRACES), min_size=1, max_size=3, unique=True),
    strength=st.floats(2.5, 90),
    seed=st.integers(0, 1000),
)
def test_a_report_names_only_manipulated_parts(
    names: list[str], family: str, traces: list[str], strength: float, seed: int
) -> None:
    names = [label for label in LABELS if label in names]
    text = report(names, family, traces, strength, np.random.default_rng(seed))
    assert named_regions(text) <= set(names)
    assert bool(named_regions(text)) == bool(names)
    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text


def test_reports_are_about_27_words_long() -> None:
    rng = np.random.default_rng(0)
    texts = [
        report(["eye", "nose"], family, [trace], 12.0, rng)
        for family in FAMILIES
        for trace in TRACES
    ]
    assert 23 < np.mean([len(text.split()) for text in texts]) < 31


def test_nothing_found_claims_no_authenticity() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        text = nothing_found(rng)
        assert text.startswith("No manipulation was found")
        assert not {"authentic", "genuine", "real"} & set(text.lower().split())
        assert not named_regions(text)
    empty = np.zeros(21, np.uint8)
    assert words_for(empty, "untouched", (), 0.0, rng).startswith("No manipulation was found")


def test_the_vocabulary_holds_every_word() -> None:
    known = {word.strip(".,:") for text in all_sentences() for word in text.split()}
    rng = np.random.default_rng(1)
    for _ in range(300):
        trace = [str(rng.choice(TRACES))]
        text = report(["lip", "chin"], str(rng.choice(list(FAMILIES))), trace, 9.0, rng)
        phrases = {region.phrase for region in REGIONS}
        assert {word.strip(".,:") for word in text.split()} <= known | phrases


@pytest.mark.parametrize(
    ("names", "spoken"),
    [
        (["eye", "pupil"], ["eyes"]),
        (["lip", "mouth", "nose"], ["mouth", "nose"]),
        (["pupil"], ["pupils"]),
        (["skin"], ["skin"]),
        (["cheek", "skin"], ["cheek"]),
        (["ear", "hair"], ["ears", "hair"]),
    ],
)
def test_parts_that_go_without_saying_are_left_out(names: list[str], spoken: list[str]) -> None:
    assert spoken_parts(names) == spoken
