"""Where regions usually lie, and how much of that a mask covers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.imaging.layout import covered_share, region_place
from ftsdk.regions import LABELS


@pytest.mark.parametrize("region", [*LABELS, "a name that nobody placed"])
def test_every_region_has_a_place(region: str) -> None:
    place = region_place(region, 224)
    assert place.shape == (224, 224)
    assert 0 < place.mean() < 0.8
    assert covered_share(np.ones((224, 224), bool), region) == 1.0
    assert covered_share(np.zeros((224, 224), bool), region) == 0.0


@given(st.sampled_from(LABELS), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_a_share_is_between_0_and_1_and_grows_with_the_mask(
    region: str, size: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    small = random.random((size, size)) < 0.3
    large = small | (random.random((size, size)) < 0.3)
    assert 0 <= covered_share(small, region) <= covered_share(large, region) <= 1


def test_parts_lie_where_faces_have_them() -> None:
    def centre(region: str) -> tuple[float, float]:
        rows, columns = np.nonzero(region_place(region, 256))
        return float(rows.mean()) / 256, float(columns.mean()) / 256

    heights = [centre(name)[0] for name in ("forehead", "eyebrow", "eye", "nose", "lip", "chin")]
    assert heights == sorted(heights)
    for name in ("eye", "nose", "lip", "chin", "ear"):
        assert centre(name)[1] == pytest.approx(0.5, abs=0.05)
    assert not (region_place("nose", 256) & region_place("lip", 256)).any()
