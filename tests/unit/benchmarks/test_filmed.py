from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from benchmarks.filmed import filmed

PORTRAIT = cv2.cvtColor(data.astronaut()[:300, 100:351], cv2.COLOR_RGB2BGR)


def _error(factor: int) -> float:
    return float(cv2.absdiff(filmed(PORTRAIT, factor), filmed(PORTRAIT, 0)).mean())


def test_a_frame_keeps_the_picture_s_even_sides_and_loses_more_at_a_higher_factor() -> None:
    assert filmed(PORTRAIT, 23).shape == (300, 250, 3)
    assert 0 < _error(23) < _error(30) < _error(36)


def test_the_frame_is_the_picture_moved_on() -> None:
    seen = filmed(PORTRAIT, 0)[..., 1].astype(float)
    (x, y), _ = cv2.phaseCorrelate(PORTRAIT[:, :250, 1].astype(float), seen)
    assert (x, y) == pytest.approx((7 * 0.7, 7 * 0.4), abs=0.3)


def test_a_large_picture_is_made_smaller_as_videos_are() -> None:
    assert filmed(np.zeros((90, 2000, 3), np.uint8), 23).shape == (58, 1280, 3)
