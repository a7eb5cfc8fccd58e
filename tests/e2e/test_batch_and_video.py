"""`ft-analyze` on a video, and `ft-batch` on a folder."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from typer.testing import CliRunner

from ftsdk.cli import analyze, batch

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


def test_a_video_as_json_is_one_object_a_frame_and_report(video: Path) -> None:
    done = CliRunner().invoke(analyze.app, [str(video), "--json"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    masked = [line["frame"]["index"] for line in lines if line["report"] is None]
    assert masked == [0, 1, 2, 3]
    assert any(line["report"] for line in lines)


@pytest.mark.parametrize("wrong", [["--save", "out.avi"], ["another.mp4"]])
def test_wrong_use_of_a_video_exits_with_2(video: Path, wrong: list[str]) -> None:
    assert CliRunner().invoke(analyze.app, [str(video), *wrong]).exit_code == 2


def test_a_batch_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    folder, answers = tmp_path / "in", tmp_path / "answers.jsonl"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/c.jpg"):
        (folder / name).symlink_to(PICTURES / "portrait.jpg")
    (folder / "b.jpg").write_bytes(b"nothing")
    arguments = [str(folder), "--out", str(answers), "--no-report", "--json"]
    done = CliRunner().invoke(batch.app, arguments)
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"answered": 2, "failed": 1, "answered_before": 0}
    whole = answers.read_bytes()
    answers.write_bytes(whole[:-40])  # as a kill in mid-line leaves it
    done = CliRunner().invoke(batch.app, arguments)
    assert json.loads(done.stdout) == {"answered": 1, "failed": 0, "answered_before": 2}
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [line["file"] for line in lines] == ["a.jpg", "b.jpg", "sub/c.jpg"]
    assert lines[1]["error"]["class"] == "ImageFormatError"
    assert lines[2]["finding"] == lines[0]["finding"]


def test_a_batch_reads_a_list(tmp_path: Path) -> None:
    listed, answers = tmp_path / "list.txt", tmp_path / "answers.jsonl"
    listed.write_text(f"{PICTURES / 'portrait.jpg'}\n\n", encoding="utf-8")
    done = CliRunner().invoke(batch.app, [str(listed), "--out", str(answers)])
    assert done.exit_code == 0, done.output
    assert json.loads(answers.read_text(encoding="utf-8"))["report"]
