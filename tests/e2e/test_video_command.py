"""`ft-analyze` on a video: what is printed, and the file that is saved."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from conftest import REPOSITORY
from typer.testing import CliRunner

from ftsdk.cli import analyze

PICTURES = REPOSITORY / "examples" / "pictures"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of the forged portrait, at 8 a second."""
    path = tmp_path_factory.mktemp("video") / "in.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 8, (512, 512))
    for _ in range(4):
        writer.write(cv2.imread(str(PICTURES / "portrait_forged.jpg")))
    writer.release()
    return path


def test_a_video_ends_with_how_often_and_when_something_is_suspected(tmp_path: Path) -> None:
    forged, plain = (
        cv2.imread(str(PICTURES / name)) for name in ("portrait_forged.jpg", "portrait.jpg")
    )
    faceless = np.full((512, 512, 3), 90, np.uint8)
    path = tmp_path / "in.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 8, (512, 512))
    for frame in [plain] * 3 + [forged] * 4 + [faceless] * 2 + [forged]:
        assert frame is not None
        writer.write(frame)
    writer.release()
    printed = run(path, "--no-report").stdout.splitlines()
    assert printed[0] == ("10 frames: manipulation suspected in 5, cannot tell of 2 (no face in 2)")
    assert printed[1].startswith("  from 0.38 s to 0.75 s (4 frames, score up to ")
    assert printed[2].startswith("  from 1.12 s to 1.12 s (1 frame, score up to ")
    assert printed[3] == "Manipulation suspected in 5 of 8 frames that the model was made for."
    assert "a hint, not as proof" in printed[4]


def test_a_video_without_a_face_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "in.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 8, (320, 240))
    for _ in range(3):
        writer.write(np.full((240, 320, 3), 90, np.uint8))
    writer.release()
    printed = run(path).stdout.splitlines()
    assert printed[0] == "3 frames: cannot tell of 3 (no face in 3)"


def test_a_video_that_is_cut_short_is_told_so(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), 8, (512, 512))
    for _ in range(20):
        writer.write(cv2.imread(str(PICTURES / "portrait.jpg")))
    writer.release()
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    assert "frames could be read" not in run(whole, "--no-report").stderr
    done = run(cut, "--no-report", "--json")
    *answers, last = done.stdout.splitlines()
    assert 0 < len(answers) < 15
    missing = f"{len(answers)} frames could be read of 20"
    assert f"note: {missing}" in done.stderr
    assert missing in json.loads(last)["warnings"][-1]


def test_without_a_score_the_frames_with_a_mask_are_counted(video: Path, mini_bundle: Path) -> None:
    asked = video, "--no-report", "--bundle", mini_bundle, "--device", "cpu"
    printed = run(*asked).stdout
    assert printed.startswith("4 frames: a mask in 4\n  from 0.00 s to 0.38 s (4 frames)\n")
    whole = json.loads(run(*asked, "--json").stdout.splitlines()[-1])
    assert (whole["finding"], whole["suspected"], whole["marked"]) == (None, None, 4)
    assert whole["stretches"] == [{"first": 0, "last": 0.375, "frames": 4, "score": None}]


def frames(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 8
    read = []
    while (frame := capture.read())[0]:
        read.append(frame[1].astype(np.float32))
    return read


def test_a_video_comes_back_with_the_overlay_on_it(video: Path, tmp_path: Path) -> None:
    saved = tmp_path / "out.mp4"
    done = CliRunner().invoke(analyze.app, [str(video), "--save", str(saved)])
    assert done.exit_code == 0, done.output
    assert "Manipulation suspected" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    mask = cv2.imread(str(PICTURES / "portrait_forged_mask.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    before, after = frames(video), frames(saved)
    assert len(after) == 4
    for plain, drawn in zip(before, after, strict=True):
        change = np.abs(plain - drawn).mean(axis=2)
        assert change[mask > 0].mean() > 10 * change[mask == 0].mean()


def test_a_video_as_json_is_one_object_a_frame_and_report_and_one_of_the_whole(
    video: Path,
) -> None:
    done = CliRunner().invoke(analyze.app, [str(video), "--json"])
    *lines, whole = (json.loads(line) for line in done.stdout.splitlines())
    masked = [line for line in lines if line["report"] is None]
    assert [line["frame"]["index"] for line in masked] == [0, 1, 2, 3]
    assert any(line["report"] for line in lines)
    assert whole.pop("warnings") == masked[-1]["warnings"]
    assert whole == {
        "video": {"name": str(video), "frames": 4},
        "schema_version": 2,
        "finding": "Manipulation suspected in 4 of 4 frames that the model was made for.",
        "suspected": True,
        "masked": 4,
        "judged": 4,
        "marked": 4,
        "failed": 0,
        "cannot_tell": {},
        "stretches": [
            {"first": 0, "last": 0.375, "frames": 4, "score": max(line["score"] for line in masked)}
        ],
    }


@pytest.mark.parametrize("wrong", [["--save", "out.avi"], ["another.mp4"]])
def test_wrong_use_of_a_video_exits_with_2(video: Path, wrong: list[str]) -> None:
    assert CliRunner().invoke(analyze.app, [str(video), *wrong]).exit_code == 2


def run(*arguments: object) -> Result:
    return CliRunner().invoke(analyze.app, [str(argument) for argument in arguments])


def test_the_video_itself_is_not_replaced(video: Path, tmp_path: Path) -> None:
    link, before = tmp_path / "out.mp4", video.read_bytes()
    link.symlink_to(video)
    for target in (video, link):
        done = run(video, "--save", target)
        assert done.exit_code == 2, done.output
        assert "would replace" in done.stderr
    assert video.read_bytes() == before


def test_a_video_without_a_usable_frame_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    small = tmp_path / "small.mp4"
    writer = cv2.VideoWriter(str(small), cv2.VideoWriter.fourcc(*"mp4v"), 8, (8, 8))
    for _ in range(3):
        writer.write(np.zeros((8, 8, 3), np.uint8))
    writer.release()
    for save in ([], ["--save", tmp_path / "out.mp4"]):
        done = run(small, *save)
        assert done.exit_code == 1
        assert "no frame of" in done.stderr
        assert "saved" not in done.stdout
        failed = run(small, *save, "--json")
        assert (failed.exit_code, failed.stderr) == (1, "")
        last = json.loads(failed.stdout.splitlines()[-1])
        assert last["video"] == {"name": str(small)}
        assert last["error"]["class"] == "SourceEmptyError"
    assert [path.name for path in tmp_path.iterdir()] == ["small.mp4"]


def test_a_file_that_is_no_video_is_an_error_in_json_too(tmp_path: Path) -> None:
    none = tmp_path / "none.mp4"
    none.write_bytes(b"no video")
    done = run(none, "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    document = json.loads(done.stdout)
    assert document["video"] == {"name": str(none)}
    assert document["error"]["class"] == "SourceNotFoundError"


def test_a_video_that_finds_no_room_is_an_error_and_leaves_no_file(
    video: Path, tmp_path: Path
) -> None:
    code = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # every larger file is refused
from ftsdk.cli.analyze import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(video), "--no-report", "--save", str(tmp_path / "o.mp4")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot save" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*tmp_path.iterdir()]


def test_pixels_that_are_not_square_are_shown_square_and_told(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    squeezed, saved = tmp_path / "in.mp4", tmp_path / "out.mp4"
    picture = cv2.imread(str(PICTURES / "portrait_forged.jpg"))
    assert picture is not None
    with av.open(str(squeezed), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 384, 512, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        frame = av.VideoFrame.from_ndarray(cv2.resize(picture, (384, 512)), format="bgr24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    done = run(squeezed, "--no-report", "--save", saved)
    assert done.exit_code == 0, done.output
    assert "1.33 times as wide as high" in done.stdout
    capture = cv2.VideoCapture(str(saved))
    assert capture.read()[1].shape == (512, 512, 3)
    line, _ = run(squeezed, "--no-report", "--json").stdout.splitlines()
    answer = json.loads(line)
    assert (answer["picture"]["width"], answer["picture"]["height"]) == (512, 512)
    assert "1.33" in answer["warnings"][0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_what_is_done(tmp_path: Path, number: signal.Signals) -> None:
    long, saved = tmp_path / "long.mp4", tmp_path / "out.mp4"
    writer = cv2.VideoWriter(str(long), cv2.VideoWriter.fourcc(*"mp4v"), 8, (512, 512))
    picture = cv2.imread(str(PICTURES / "portrait.jpg"))
    assert picture is not None
    for _ in range(150):
        writer.write(picture)
    writer.release()
    command = [sys.executable, "-c", "from ftsdk.cli.analyze import main; main()", str(long)]
    with subprocess.Popen(
        [*command, "--no-report", "--json", "--save", str(saved)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        for _ in range(8):
            assert running.stdout.readline()
        running.send_signal(number)
        output, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + number, errors
    assert "as far as" in errors
    capture, told = cv2.VideoCapture(str(saved)), 8 + len(output.splitlines())
    assert told - 1 <= capture.get(cv2.CAP_PROP_FRAME_COUNT) <= told < 150
    assert {path.name for path in tmp_path.iterdir()} == {"long.mp4", "out.mp4"}


@pytest.mark.parametrize("option", [("--report", "r.html"), ("--regions", "nose")])
def test_what_a_video_does_not_take_is_wrong_use(video: Path, option: tuple[str, str]) -> None:
    assert run(video, *option).exit_code == 2
