"""What is known of each region agrees with itself and with whoever reads it."""

from __future__ import annotations

import pytest

from ftsdk.claims import named_regions
from ftsdk.imaging.layout import region_place
from ftsdk.regions import LABELS, LOCATED_LABELS, REGIONS, FaceRegion, face_region


def test_no_word_speaks_of_two_regions() -> None:
    words = [word for region in REGIONS for word in region.words]
    assert len(words) == len(set(words)) == len({word.lower() for word in words})
    assert len(set(LABELS)) == len(LABELS) == 21


@pytest.mark.parametrize("region", REGIONS, ids=LABELS)
def test_its_words_speak_of_it_and_of_no_other(region: FaceRegion) -> None:
    assert region.phrase in region.words
    for word in (region.name, *region.words):
        assert named_regions(f"The {word} looks pasted.") == {region.name}
    assert region_place(region.name, 64).any()


def test_a_label_of_another_bundle_is_spoken_of_by_its_name() -> None:
    assert face_region("Neck") == FaceRegion("Neck", ("neck",), "Neck", ("face_oval",))
    assert face_region("nose") is REGIONS[LABELS.index("nose")]


def test_located_labels_keep_the_label_order() -> None:
    assert list(LOCATED_LABELS) == [name for name in LABELS if name in LOCATED_LABELS]
    assert {"ear", "hair", "tooth", "scar"}.isdisjoint(LOCATED_LABELS)
