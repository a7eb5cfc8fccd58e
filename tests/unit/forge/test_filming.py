from __future__ import annotations

import io

import av
import cv2
import numpy as np
import pytest
from av.video.frame import PictureType
from skimage import data

from ft_forge.filming import filmed, save

PORTRAIT = cv2.cvtColor(data.astronaut()[:301, 100:351], cv2.COLOR_RGB2BGR)


def _error(factor: int, before: int) -> float:
    seen = filmed(PORTRAIT, factor, "veryfast", (1.3, -0.6), before)
    return float(cv2.absdiff(seen, PORTRAIT).mean())


@pytest.mark.parametrize("before", [0, 3])
def test_a_frame_has_the_picture_s_size_and_loses_more_at_a_higher_factor(before: int) -> None:
    assert filmed(PORTRAIT, 23, "medium", (1.3, -0.6), before).shape == PORTRAIT.shape
    assert 0 < _error(20, before) < _error(30, before) < _error(38, before)


def test_the_frame_shows_the_picture_where_it_is() -> None:
    seen = filmed(PORTRAIT, 18, "medium", (2.0, 1.0), 4)
    (x, y), _ = cv2.phaseCorrelate(PORTRAIT[..., 1].astype(float), seen[..., 1].astype(float))
    assert (x, y) == pytest.approx((0, 0), abs=0.1)


def test_later_frames_are_predicted_from_those_before() -> None:
    file, picture = io.BytesIO(), PORTRAIT[:300, :250]
    save([np.roll(picture, step, axis=1) for step in range(5)], file, 28)
    file.seek(0)
    with av.open(file, "r") as saved:
        kinds = [PictureType(frame.pict_type).name for frame in saved.decode(video=0)]
    assert len(kinds) == 5
    assert kinds[0] == "I"
    assert set(kinds[1:]) <= {"P", "B"}


def test_the_same_pictures_give_the_same_frame() -> None:
    small = cv2.resize(PORTRAIT, (80, 96))  # at this size x264's AVX-512 code differed the most
    frames = {filmed(small, 28, "medium", (0.7, 0.4), 4).tobytes() for _ in range(40)}
    assert len(frames) == 1
