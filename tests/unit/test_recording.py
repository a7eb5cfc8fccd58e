"""A recording shows every frame when the source shows it, in a codec that browsers play."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from raising import raised

from ftsdk.errors import OutputError
from ftsdk.streaming import recording
from ftsdk.streaming.recording import Recording, open_recording

#: Ten frames at ten a second, then two that are shown for longer.
TIMES = [*(i / 10 for i in range(10)), 1.5, 1.9]
END = 2.0


def record(kind: type[Recording], path: Path, times: list[float], end: float) -> None:
    with kind(path, 6.0) as made:
        for index, seconds in enumerate(times):
            made.write(np.full((64, 96, 3), 20 * index, np.uint8), seconds)
        made.finish(end)


def shown_at(path: Path) -> tuple[list[tuple[float, int]], float, str]:
    """Return when which grey appears, how long the video is, and its codec."""
    capture = cv2.VideoCapture(str(path))
    changes: list[tuple[float, int]] = []
    while True:
        read, frame = capture.read()
        if not read:
            break
        grey = round(float(frame.mean()) / 20)
        if not changes or changes[-1][1] != grey:
            changes.append((capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3, grey))
    length = capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS)
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()
    return changes, length, codec


def test_h264_keeps_the_source_s_own_times(tmp_path: Path) -> None:
    pytest.importorskip("av")
    record(recording._H264, tmp_path / "o.mp4", TIMES, END)
    changes, length, codec = shown_at(tmp_path / "o.mp4")
    assert [seconds for seconds, _ in changes] == pytest.approx(TIMES, abs=1e-3)
    assert [grey for _, grey in changes] == [*range(12)]
    assert length == pytest.approx(END, abs=1e-3)
    assert codec == "h264"


def test_vp9_keeps_them_to_a_twentieth_of_a_second(tmp_path: Path) -> None:
    record(recording._Vp9, tmp_path / "o.mp4", TIMES, END)
    changes, length, codec = shown_at(tmp_path / "o.mp4")
    assert [seconds for seconds, _ in changes] == pytest.approx(TIMES, abs=0.05)
    assert [grey for _, grey in changes] == [*range(12)]
    assert length == pytest.approx(END, abs=0.05)
    assert codec == "VP90"


def test_a_clock_that_stands_still_goes_on_by_the_rate(tmp_path: Path) -> None:
    record(recording._Vp9, tmp_path / "o.mp4", [0.0] * 6, 0.0)
    changes, length, _ = shown_at(tmp_path / "o.mp4")
    assert [seconds for seconds, _ in changes] == pytest.approx([i / 6 for i in range(6)], abs=0.05)
    assert length == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("kind", [recording._H264, recording._Vp9])
def test_odd_sides_are_made_even(kind: type[Recording], tmp_path: Path) -> None:
    if kind is recording._H264:
        pytest.importorskip("av")
    with kind(tmp_path / "o.mp4", 25.0) as made:
        made.write(np.full((45, 61, 3), 90, np.uint8), 0.0)
        made.finish(0.04)
    read, frame = cv2.VideoCapture(str(tmp_path / "o.mp4")).read()
    assert read
    assert frame.shape == (46, 62, 3)


def test_h264_on_a_full_disk_is_an_os_error() -> None:
    pytest.importorskip("av")
    with pytest.raises(OSError, match="No space left"):
        record(recording._H264, Path("/dev/full"), TIMES, END)


def test_vp9_on_a_full_disk_is_found_out(tmp_path: Path) -> None:
    raised(OutputError, lambda: record(recording._Vp9, tmp_path / "no" / "o.mp4", TIMES, END))


def test_pyav_is_taken_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "find_spec", lambda _: None)
    with open_recording(tmp_path / "o.mp4", 25.0) as made:
        assert "VP9" in made.codec
