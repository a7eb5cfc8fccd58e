"""Watching videos, folders and cameras with the model that comes with the package."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from counting import counted

import ftsdk
from ftsdk.analyzer import Analyzer
from ftsdk.errors import ImageFormatError, OptionError, SourceLostError
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.watching import watch_with

PICTURES = REPOSITORY / "examples" / "pictures"


@pytest.fixture(scope="module")
def nano() -> Iterator[Analyzer]:
    with Analyzer(device="cpu", threads=1) as analyzer:
        yield analyzer


@pytest.fixture(scope="module")
def stills() -> tuple[np.ndarray, np.ndarray]:
    forged, plain = (cv2.imread(str(PICTURES / f"portrait{x}.jpg")) for x in ("_forged", ""))
    assert forged is not None
    assert plain is not None
    return forged, plain


@pytest.fixture(scope="module")
def video(stills: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames at 5 a second: six of the forged portrait, four of the plain one."""
    path = tmp_path_factory.mktemp("video") / "stills.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5, (512, 512))
    for number in range(10):
        writer.write(stills[number >= 6])
    writer.release()
    return path


def of_kind(kind: type, answers: list[Any]) -> list[Any]:
    return [answer for answer in answers if isinstance(answer, kind)]


def test_every_frame_of_a_video_is_masked_and_reported_where_it_changes(
    nano: Analyzer, video: Path
) -> None:
    answers = list(watch_with(nano, video))
    masked = of_kind(ftsdk.FrameMasked, answers)
    reported = of_kind(ftsdk.FrameReported, answers)
    assert [answer.frame.index for answer in masked] == list(range(10))
    assert [round(answer.frame.seconds, 1) for answer in masked] == [n / 5 for n in range(10)]
    assert len({answer.result.face for answer in masked}) == 1
    assert all(answer.result.report is None and answer.dropped == 0 for answer in masked)
    assert all(answer.latency_ms >= answer.result.timings["total"] for answer in reported)
    assert 0 < len(reported) < 10
    last = reported[-1]
    assert last.frame.index >= 6
    assert last.result.report.startswith("No manipulation was found")
    assert not of_kind(ftsdk.FrameFailed, answers)


def test_masks_of_a_video_do_not_flicker(
    nano: Analyzer, stills: tuple[np.ndarray, np.ndarray]
) -> None:
    """Where the same face trembles by a pixel, the followed one is looked at in the same place."""
    trembling = [np.roll(stills[0], shift, axis=(0, 1)) for shift in ((0, 0), (1, 0), (0, 1))]
    faces = {
        answer.result.face for answer in watch_with(nano, trembling, WatchOptions(report="never"))
    }
    assert len(faces) == 1


def test_every_face_of_a_frame_is_answered(
    nano: Analyzer, stills: tuple[np.ndarray, np.ndarray]
) -> None:
    forged, plain = stills
    larger = cv2.resize(plain, None, fx=1.25, fy=1.25)
    below = cv2.copyMakeBorder(forged, 0, len(larger) - len(forged), 0, 0, cv2.BORDER_REPLICATE)
    frames = [cv2.hconcat([larger, below])] * 2
    for answer in watch_with(nano, frames, WatchOptions(report="never")):
        assert isinstance(answer, ftsdk.FrameMasked)
        (other,) = answer.result.others
        assert answer.result.suspected
        assert answer.result.face is not None
        assert answer.result.face.x > larger.shape[1] > other.face.x
        assert "each was analysed" in " ".join(answer.result.warnings)


def test_an_answer_is_the_same_as_without_a_watch(nano: Analyzer, tmp_path: Path) -> None:
    for name in ("portrait.jpg", "portrait_forged.jpg"):
        (tmp_path / name).symlink_to(PICTURES / name)
    reported = of_kind(ftsdk.FrameReported, list(watch_with(nano, tmp_path)))
    for answer, name in zip(reported, ("portrait.jpg", "portrait_forged.jpg"), strict=True):
        alone = nano.analyze(PICTURES / name)
        assert answer.frame.name == answer.result.picture.name == name
        assert answer.result.report == alone.report
        np.testing.assert_array_equal(answer.result.probabilities, alone.probabilities)


def paced(frames: int, image: np.ndarray) -> Iterator[np.ndarray]:
    """Yield frames that differ in a pixel: the same picture again would be answered at once."""
    for index in range(frames):
        frame = image.copy()
        frame[0, 0] = index
        yield frame
        time.sleep(1 / 200)


@pytest.mark.parametrize("policy", ["drop oldest", "drop newest", "newest only"])
def test_frames_that_come_too_fast_are_dropped_and_counted(
    nano: Analyzer, stills: tuple[np.ndarray, np.ndarray], policy: Any
) -> None:
    answers = list(
        watch_with(nano, paced(40, stills[1]), WatchOptions(policy=policy, report="never"))
    )
    assert answers[-1].dropped == 40 - len(answers) > 0
    indices = [answer.frame.index for answer in answers]
    assert indices == sorted(set(indices))
    if policy != "drop newest":
        assert indices[-1] == 39


def test_a_bad_picture_does_not_end_a_watch_and_a_stopped_one_goes_on(
    nano: Analyzer, tmp_path: Path
) -> None:
    folder, journal = tmp_path / "in", tmp_path / "done"
    folder.mkdir()
    for name in ("a.jpg", "c.jpg", "d.jpg"):
        (folder / name).symlink_to(PICTURES / "portrait.jpg")
    (folder / "b.jpg").write_bytes(b"nothing")
    first = watch_with(nano, folder, WatchOptions(report="never", resume=journal))
    assert next(first).frame.name == "a.jpg"
    failed = next(first)
    assert isinstance(failed, ftsdk.FrameFailed)
    assert isinstance(failed.error, ImageFormatError)
    assert next(first).frame.name == "c.jpg"
    first.close()  # type: ignore[attr-defined]
    rest = [answer.frame.name for answer in watch_with(nano, folder, WatchOptions(resume=journal))]
    assert sorted(rest) == ["c.jpg", "c.jpg", "d.jpg", "d.jpg"]  # masked and reported
    assert not list(watch_with(nano, folder, WatchOptions(resume=journal)))


def test_a_source_that_dies_is_opened_again_and_then_given_up(
    nano: Analyzer, stills: tuple[np.ndarray, np.ndarray]
) -> None:
    opened = []

    def camera() -> Iterator[np.ndarray]:
        opened.append(len(opened))
        if len(opened) > 2:
            raise OSError("unplugged")
        yield from stills

    watch = watch_with(
        nano, camera, WatchOptions(policy="wait", report="never", retries=2, retry_wait=0)
    )
    answers = [next(watch).frame.index for _ in range(4)]
    with pytest.raises(SourceLostError, match="unplugged"):
        next(watch)
    assert answers == [0, 1, 2, 3], "what arrived before the end is answered"
    assert len(opened) == 2 + 2


def test_a_source_that_hangs_is_lost_after_the_time_out(nano: Analyzer) -> None:
    def hanging() -> Iterator[np.ndarray]:
        time.sleep(5)
        yield from ()

    with pytest.raises(SourceLostError, match="no frame in"):
        list(watch_with(nano, hanging(), WatchOptions(timeout=0.2)))


def test_the_next_picture_is_masked_while_words_are_written_and_few_are_ahead(
    stills: tuple[np.ndarray, np.ndarray],
) -> None:
    with Analyzer(device="cpu", threads=1) as analyzer:
        _, engines = counted(analyzer)
        masks, write = engines["mask_decoder"], analyzer.chain.writer
        ahead: list[int] = []

        def patient(*arguments: Any) -> Iterator[int]:
            written, end = len(ahead), time.monotonic() + 20
            while masks.calls < min(6, written + 2) and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(0.3)
            ahead.append(masks.calls - written - 1)
            yield from write(*arguments)

        analyzer.chain.writer = patient
        answers = watch_with(analyzer, paced(6, stills[0]), WatchOptions("wait", report="always"))
        reported = of_kind(ftsdk.FrameReported, list(answers))
    assert [answer.frame.index for answer in reported] == list(range(6))
    assert all(1 <= count <= 2 for count in ahead[:4])
    assert ahead[4:] == [1, 0]


def test_closing_a_watch_stops_its_engines(video: Path) -> None:
    with Analyzer(device="cpu", threads=1) as analyzer:
        _, engines = counted(analyzer)
        answers = watch_with(analyzer, video)
        next(answers)
        answers.close()  # type: ignore[attr-defined]
        stopped = engines["vision_encoder"].calls
        time.sleep(0.3)
        assert engines["vision_encoder"].calls == stopped < 10


def test_the_door_of_the_package_watches_too(video: Path) -> None:
    answers = ftsdk.watch(video, device="cpu", policy="newest only", report="never")
    assert isinstance(next(answers), ftsdk.FrameMasked)
    answers.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "fast"}, {"report": "daily"}, {"retries": -1}, {"timeout": 0},
        {"resume": "done"}, {"color": "BGR"}, {"retries": "3"}, {"timeout": None},
        {"retry_wait": float("nan")},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_at_once(nano: Analyzer, video: Path, wrong: Any) -> None:
    with pytest.raises(OptionError):
        watch_with(nano, video, WatchOptions(**wrong))
