"""What `benchmarks.videos` films."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from conftest import REPOSITORY

from benchmarks.filmed import FACTORS
from benchmarks.videos import FRAMES, moving, summary_of
from ft_forge.filming import save
from ftsdk import Analyzer


def test_a_forged_picture_is_found_in_most_frames_of_its_video(tmp_path: Path) -> None:
    picture = cv2.imread(str(REPOSITORY / "examples" / "pictures" / "portrait_forged.jpg"))
    frames = moving(np.asarray(picture, np.uint8), np.random.default_rng(0))
    save(frames, tmp_path / "video.mp4", FACTORS[0])
    with Analyzer(device="cpu") as analyzer:
        summary = summary_of(analyzer, tmp_path / "video.mp4")
    assert summary.masked == FRAMES
    assert summary.suspected
