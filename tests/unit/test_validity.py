"""What a model was not made for: the limits, their reasons, and what is measured for them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.bundle import open_bundle
from ftsdk.decision import share_of_untouched, threshold_for
from ftsdk.errors import ManifestError
from ftsdk.imaging.decode import decode
from ftsdk.imaging.jpeg_quality import jpeg_quality
from ftsdk.manifest import ValidityEntry
from ftsdk.validity import FaceFacts, Reason, beyond, sharpness, unsure
from tests import tiny_bundle

PLAIN = FaceFacts(side=200, sharpness=12.0, jpeg_quality=90)
LIMITS = ValidityEntry(
    needs_face=True,
    smallest_face=64,
    unsure_scores=(0.4, 0.6),
    lowest_jpeg_quality=40,
    lowest_sharpness=5.0,
)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (FaceFacts(None, 12.0), Reason.NO_FACE),
        (FaceFacts(63, 12.0), Reason.SMALL_FACE),
        (FaceFacts(200, 12.0, 39), Reason.COMPRESSION),
        (FaceFacts(200, 4.9), Reason.BLUR),
    ],
)
def test_each_limit_is_a_reason_of_its_own(facts: FaceFacts, reason: Reason) -> None:
    why = beyond(facts, LIMITS)
    assert why is not None
    assert why.reason is reason
    assert why.detail.endswith(".")
    assert beyond(facts, ValidityEntry()) is None


def test_a_damaged_picture_is_beyond_every_model() -> None:
    why = beyond(FaceFacts(200, 12.0, 90, damaged=True), ValidityEntry())
    assert why is not None
    assert why.reason is Reason.DAMAGED


def test_at_its_limits_a_picture_is_answered() -> None:
    assert beyond(PLAIN, LIMITS) is None
    assert beyond(FaceFacts(64, 5.0, 40), LIMITS) is None
    assert beyond(FaceFacts(64, 5.0), LIMITS) is None


@given(score=st.floats(0, 1))
def test_a_score_is_unsure_inside_the_band_alone(score: float) -> None:
    why = unsure(score, LIMITS)
    assert (why is not None) == (0.4 <= score < 0.6)
    assert unsure(score, ValidityEntry()) is None
    assert unsure(None, LIMITS) is None


def test_blur_lowers_sharpness_and_size_does_not_feign_it() -> None:
    face = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)[:256, 100:356]
    blurred = [cv2.GaussianBlur(face, (0, 0), sigma) for sigma in (1, 2, 4)]
    values = [sharpness(one.astype(np.uint8)) for one in (face, *blurred)]
    assert values == sorted(values, reverse=True)
    large = cv2.resize(face, (1024, 1024), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    assert sharpness(large) == pytest.approx(values[0], rel=0.35)


@pytest.mark.parametrize("quality", [5, 20, 40, 60, 75, 90, 98])
@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_a_files_jpeg_quality_is_read_from_its_table(
    tmp_path: Path, quality: int, options: tuple[int, ...]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, *options])[1].tobytes()
    assert abs((jpeg_quality(data) or 0) - quality) <= 1
    (tmp_path / "picture.jpg").write_bytes(data)
    assert decode(tmp_path / "picture.jpg").jpeg_quality == jpeg_quality(data)
    assert decode(pixels).jpeg_quality is None


@given(data=st.binary(max_size=300))
def test_any_bytes_have_a_quality_or_none(data: bytes) -> None:
    for content in (data, b"\xff\xd8" + data, b"\xff\xd8\xff\xdb\x00\x43\x00" + data):
        quality = jpeg_quality(content)
        assert quality is None or 1 <= quality <= 100


def _tail(scores: np.ndarray) -> list[tuple[float, float]]:
    """Return what a calibration writes of scores of untouched faces."""
    shares = np.geomspace(0.5, 1e-4, 40)
    places = [float(np.quantile(scores, 1 - share)) for share in shares]
    return [(place, float(share)) for place, share in zip(places, shares, strict=True)]


@given(faces=st.integers(1, 16), rate=st.floats(0.005, 0.1), seed=st.integers(0, 99))
def test_many_faces_are_no_more_chances_for_a_false_alarm(
    faces: int, rate: float, seed: int
) -> None:
    scores = np.random.default_rng(seed).beta(2, 5, 40_000)
    tail = _tail(scores)
    threshold = float(np.quantile(scores, 1 - rate))
    raised = threshold_for(faces, threshold, tail)
    alarms = (scores.reshape(-1, 16)[:, :faces].max(axis=1) >= raised).mean()
    assert alarms <= rate + 4 * np.sqrt(rate / 2500) + 0.002
    assert threshold_for(1, threshold, tail) == pytest.approx(threshold, abs=1e-9)
    assert threshold_for(faces + 1, threshold, tail) >= raised
    assert share_of_untouched(threshold, tail) == pytest.approx(rate, rel=0.15)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("validity", {"smallest_face": 0}, "smallest_face"),
        ("validity", {"smallest": 64}, "smallest"),
        ("validity", {"lowest_jpeg_quality": 101}, "lowest_jpeg_quality"),
        ("validity", {"unsure_scores": [0.6, 0.4]}, "unsure"),
        ("validity", {"needs_face": True}, "face_detector"),
        ("framing", "face", "face_detector"),
    ],
)
def test_a_manifest_with_impossible_limits_is_refused(
    tmp_path: Path, field: str, value: Any, said: str
) -> None:
    tiny_bundle.write(tmp_path, lambda manifest: manifest.update({field: value}))
    with pytest.raises(ManifestError, match=said):
        open_bundle(tmp_path)


def test_a_tail_that_does_not_fall_is_refused(tmp_path: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["score"]["untouched_tail"] = [[0.2, 0.1], [0.4, 0.2]]

    tiny_bundle.write(tmp_path, change)
    with pytest.raises(ManifestError, match="tail"):
        open_bundle(tmp_path)


def test_every_limit_of_a_manifest_is_read(tmp_path: Path) -> None:
    limits = replace(LIMITS, needs_face=False)

    def change(manifest: dict[str, Any]) -> None:
        manifest["validity"] = asdict(limits)

    assert open_bundle(tiny_bundle.write(tmp_path, change)).manifest.validity == limits
