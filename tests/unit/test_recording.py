"""A recording shows every frame when the source shows it, in a codec that browsers play."""

from __future__ import annotations

from fractions import Fraction
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


def with_sound(path: Path, codec: str, start: float = 0.0) -> Path:
    """Write two seconds of a tone beside a grey video, both beginning at `start` s."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        tone = out.add_stream(codec, rate=48_000)
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8), format="bgr24")
            frame.pts, frame.time_base = index + round(10 * start), Fraction(1, 10)
            out.mux(video.encode(frame))
        samples = np.sin(np.arange(96_000) / 20).astype(np.float32)
        kind = tone.codec_context.format.name
        for at in range(0, len(samples), 1000):
            part = samples[None, at : at + 1000]
            part = part if kind == "fltp" else (part * 30_000).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(part, format=kind, layout="mono")
            heard.sample_rate, heard.pts = 48_000, at + round(48_000 * start)
            out.mux(tone.encode(heard))
        out.mux(video.encode(None))
        out.mux(tone.encode(None))
    return path


@pytest.mark.parametrize("start", [0.0, 5.0])
def test_sound_is_kept_in_step_and_as_long_as_the_frames(tmp_path: Path, start: float) -> None:
    av = pytest.importorskip("av")
    source = with_sound(tmp_path / "in.mkv", "aac", start)
    with open_recording(tmp_path / "o.mp4", 10.0, source) as made:
        for index in range(10):
            made.write(np.full((64, 96, 3), 90, np.uint8), index / 10)
        made.finish(1.0)
    assert made.sound == "with its sound"
    with av.open(str(source)) as before, av.open(str(tmp_path / "o.mp4")) as after:
        (track,) = after.streams.audio
        packets = [bytes(packet) for packet in after.demux(track) if packet.size]
        assert packets == [bytes(p) for p in before.demux(audio=0) if p.size][: len(packets)]
        assert float(track.duration * track.time_base) == pytest.approx(1.0, abs=0.05)
        assert after.duration / 1e6 == pytest.approx(1.0, abs=0.05)


def test_sound_that_no_mp4_plays_is_left_out_and_told(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "in.mkv", "pcm_s16le")
    for one, said in ((source, "which is pcm_s16le"), (None, "without sound")):
        with open_recording(tmp_path / "o.mp4", 10.0, one) as made:
            made.write(np.full((64, 96, 3), 90, np.uint8), 0.0)
            made.finish(0.1)
        assert said in made.sound
        assert shown_at(tmp_path / "o.mp4")[2] == "h264"
