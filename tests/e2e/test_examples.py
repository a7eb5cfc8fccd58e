"""Every file of examples/ runs, as a user runs it, and shows what it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError, URLError

import cv2
import pytest
from conftest import REPOSITORY
from serving import Server, free_port

EXAMPLES = REPOSITORY / "examples"
FORGED = EXAMPLES / "pictures" / "portrait_forged.jpg"
FILES = sorted(EXAMPLES.glob("*.py"))
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def run(name: str, *arguments: object, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_short_says_for_whom_and_is_run_here(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# For ")
    assert len(lines) < 60
    assert f'"{path.name}"' in Path(__file__).read_text(encoding="utf-8")
    assert f"]({path.name})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_without_its_arguments_an_example_says_how_it_is_called(path: Path, tmp_path: Path) -> None:
    said = run(path.name, cwd=tmp_path, code=1)
    assert said.startswith("Usage: ")
    assert f"examples/{path.name} " in said
    assert "Traceback" not in said


def test_one_picture(tmp_path: Path) -> None:
    printed = run("one_picture.py", FORGED, "answers", cwd=tmp_path)
    assert "Manipulation suspected" in printed
    assert "eye: probability" in printed
    kinds = {"overlay.png", "mask.png", "heatmap.png", "json"}
    assert {p.name for p in (tmp_path / "answers").iterdir()} >= {
        f"{FORGED.stem}.{k}" for k in kinds
    }


def test_streaming_in_a_terminal(tmp_path: Path) -> None:
    printed = run("stream_in_a_terminal.py", FORGED, cwd=tmp_path)
    places = [printed.index(part) for part in ("regions: eye", "mask: ", "report: ", "suspected")]
    assert places == sorted(places)


def test_watching_a_video(tmp_path: Path) -> None:
    picture = cv2.imread(str(FORGED))
    assert picture is not None
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(tmp_path / "door.avi"), fourcc, 5, picture.shape[1::-1])
    for _ in range(4):
        writer.write(picture)
    writer.release()
    printed = run("watch_a_camera.py", "door.avi", cwd=tmp_path)
    assert "% masked" in printed
    assert "Manipulation suspected" in printed


def test_correcting_and_reporting(tmp_path: Path) -> None:
    arguments = (FORGED, "report.html", "mouth,nose", "Ada Lovelace")
    printed = run("correct_and_report.py", *arguments, cwd=tmp_path)
    assert "Corrected: " in printed
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Ada Lovelace" in report
    assert "mouth" in report


def test_a_folder_with_failures(tmp_path: Path) -> None:
    for name in ("portrait.jpg", "portrait_forged.jpg"):
        shutil.copy(EXAMPLES / "pictures" / name, tmp_path)
    (tmp_path / "notes.jpg").write_text("no picture", encoding="utf-8")
    printed = run("folder_with_failures.py", tmp_path, cwd=tmp_path, code=1)
    forged, plain, failed = (
        printed.index(part) for part in ("portrait_forged.jpg", "portrait.jpg", "failed")
    )
    assert forged < plain < failed
    assert "notes.jpg" in printed
    (tmp_path / "notes.jpg").unlink()
    run("folder_with_failures.py", tmp_path, cwd=tmp_path)


def test_an_asyncio_service(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, EXAMPLES / "asyncio_service.py", str(port)]
    service = subprocess.Popen(command, cwd=tmp_path)
    try:
        answer = ask(port, FORGED.read_bytes())
        assert answer["finding"].startswith("Manipulation suspected")
        with pytest.raises(HTTPError) as refused:
            ask(port, b"no picture")
        assert refused.value.code == 422
        assert json.load(refused.value)["cure"]
    finally:
        service.terminate()
        service.wait(timeout=30)


def ask(port: int, picture: bytes) -> dict[str, str]:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", picture, timeout=60) as reply:
                answer: dict[str, str] = json.load(reply)
                return answer
        except HTTPError:
            raise
        except URLError:  # not listening yet
            time.sleep(0.1)
    raise AssertionError("the service did not get ready")


def test_a_client_of_the_service(server: Server, tmp_path: Path) -> None:
    printed = run("serve_client.py", server.url, FORGED, cwd=tmp_path)
    report, finding = printed.strip().splitlines()
    assert "eye" in report
    assert finding.startswith("Manipulation suspected")
    (tmp_path / "notes.jpg").write_text("no picture", encoding="utf-8")
    refused = run("serve_client.py", server.url, "notes.jpg", cwd=tmp_path, code=1)
    assert "; " in refused


def test_comparing_devices(
    mini_weights: Path, mini_bundle: Path, parity: Path, face: Path, tmp_path: Path
) -> None:
    shutil.copytree(mini_bundle, tmp_path / f"{mini_weights.name}.bundle")  # exported once already
    arguments = (mini_weights, parity / "architecture.json", face, "cpu", "cpu")
    printed = run("compare_devices.py", *arguments, cwd=tmp_path)
    for name in ("pixel_values", "mask_logits", "encoder_output"):
        assert f"{name:20} relative difference 0.0e+00" in printed
    assert f"{'report':20} the same" in printed
