"""Which regions a sentence speaks of, and whether the mask bears it out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.claims import claim_warning, named_regions, unsupported_regions
from ftsdk.imaging.layout import region_place
from ftsdk.regions import LABELS

NOSE = region_place("nose", 192)


@pytest.mark.parametrize(
    ("text", "regions"),
    [
        ("The nostrils and both eyelids look pasted.", {"nose", "eye"}),
        ("Her eyebrows' colour differs; teeth are smeared.", {"eyebrow", "tooth"}),
        ("LIPS, mouth-corners and Jawline", {"lip", "mouth", "jaw"}),
        ("The skin around the cheekbones", {"skin", "cheek"}),
        ("The search in the year of the chinook is clear; he skins a hare.", set()),
        ("", set()),
    ],
)
def test_regions_are_found_in_any_form_of_their_words(text: str, regions: set[str]) -> None:
    assert named_regions(text) == regions


def test_a_sentence_about_an_unmasked_part_is_flagged() -> None:
    report = "The nose looks blurred, and the eyes and the chin look pasted."
    assert unsupported_regions(report, NOSE) == ["eye", "chin"]
    warning = claim_warning(report, NOSE)
    assert warning is not None
    assert "eye, chin" in warning
    assert claim_warning("The nostrils look blurred.", NOSE) is None
    assert claim_warning("No manipulation was found.", np.zeros_like(NOSE)) is None


@given(st.lists(st.sampled_from(LABELS), min_size=1, unique=True))
def test_every_named_part_is_flagged_without_a_mask_and_none_under_a_full_one(
    names: list[str],
) -> None:
    report = "Traces at the " + ", ".join(names) + "."
    empty = np.zeros((64, 64), bool)
    assert set(unsupported_regions(report, empty)) == set(names)
    assert unsupported_regions(report, ~empty) == []
