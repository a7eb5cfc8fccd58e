"""Nothing leaves the machine, and nothing is written beside what was asked for."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from conftest import REPOSITORY, Exported
from guarding import Guard, started
from serving import face_png, free_port

from ftsdk.doctor.privacy import check_privacy
from tests.unit.forge.forge_faces import write_faces


@dataclass(frozen=True)
class Job:
    """What a command works on, and where it may write."""

    guard: Guard
    bundle: Path
    face: Path
    out: Path


@pytest.fixture
def job(mini_bundle: Path, face: Path, tmp_path: Path) -> Job:
    (tmp_path / "out").mkdir()
    return Job(Guard(tmp_path / "guard"), mini_bundle, face, tmp_path / "out")


def analyze(job: Job) -> None:
    run, save = job.guard.run, ["--save", job.out]
    run("ftsdk.cli.analyze:main", job.face, "--bundle", job.bundle, *save, "--beams", "2")


def batch(job: Job) -> None:
    run, out = job.guard.run, ["--out", job.out / "a.jsonl"]
    run("ftsdk.cli.batch:main", job.face.parent, "--bundle", job.bundle, *out)


def bench(job: Job) -> None:
    plot = job.out / "a.png"
    short = ["--runs", "1", "--rate-seconds", "0.02", "--tokens", "5", "--device", "cpu"]
    files = ["--json", job.out / "a.json", "--markdown", job.out / "a.md", "--plot", plot]
    job.guard.run("ftsdk.cli.bench:main", "--bundle", job.bundle, *short, *files)
    assert plot.stat().st_size > 0


def doctor(job: Job) -> None:
    arguments = ["--device", "cpu", "--bundle", job.bundle, "--json"]
    checks = json.loads(job.guard.run("ftsdk.cli.doctor:main", *arguments))["checks"]
    facts = next(check["facts"] for check in checks if check["name"] == "privacy")
    assert facts == {"ONNX Runtime's telemetry": "off"}


def forge_and_evaluate(job: Job) -> None:
    faces, made = job.out / "faces", job.out / "set"
    faces.mkdir()
    write_faces(faces)
    job.guard.run("ft_forge.cli:app", faces, made, "--count", "2", "--split", "all")
    job.guard.run("ft_eval.cli:main", "--bundle", job.bundle, "--data", made, "--json")


def serve(job: Job) -> None:
    """The service, from its start over a page and an answer to its end."""
    port = free_port()
    options = ["--bundle", job.bundle, "--device", "cpu", "--port", str(port)]
    process = job.guard.open([sys.executable, "-c", started("ftsdk.serve.cli:main"), *options])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(client, process)
            assert "//" not in client.get("/").text.replace("<!-- ", "")
            assert client.get("/docs").status_code == 404
            headers = {"Content-Type": "application/octet-stream"}
            answer = client.post("/v1/analyze", content=face_png(), headers=headers)
            assert answer.json()["report"]
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # strace passes no signal on
        process.communicate(timeout=60)


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not get ready")


@pytest.mark.parametrize(
    "command",
    [analyze, batch, bench, doctor, forge_and_evaluate, serve],
    ids=lambda command: command.__name__,
)
def test_a_command_stays_at_home_and_leaves_it_empty(
    command: Callable[[Job], None], job: Job
) -> None:
    command(job)
    assert job.guard.findings() == []


def test_an_export_stays_at_home_and_leaves_it_empty(mini_export: Exported) -> None:
    assert mini_export.guard.findings() == []


def test_the_guard_sees_what_it_is_there_for(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "guard")
    (tmp_path / "faithless.py").write_text(
        "import pathlib, socket\n"
        "def main():\n"
        "    import onnxruntime\n"
        "    pathlib.Path.home().joinpath('id').write_text('me')\n"
        "    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))\n"
    )
    path = os.pathsep.join([str(guard.folder / "site"), str(tmp_path)])
    guard.run("faithless:main", PYTHONPATH=path)
    found = "\n".join(guard.findings())
    assert "onnxruntime was imported with its telemetry on" in found
    assert "connected to ('192.0.2.1', 9)" in found
    assert "home/id" in found


def test_a_home_that_cannot_be_written_does_not_matter(job: Job) -> None:
    """Below a file no directory can be made, not even by root."""
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "XDG_CONFIG_HOME": "/dev/null"}
    arguments = [job.face, "--bundle", job.bundle, "--save", job.out]
    job.guard.run("ftsdk.cli.analyze:main", *arguments, **nowhere)
    assert len(list(job.out.iterdir())) > 2
    assert job.guard.findings() == []


@pytest.mark.parametrize(
    ("value", "on"), [("1", False), ("true", False), ("0", True), ("", True), ("off", True)]
)
def test_telemetry_that_the_user_wants_is_no_fault_and_said(
    monkeypatch: pytest.MonkeyPatch, value: str, on: bool
) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", value)
    found = check_privacy()
    assert found.faults == []
    (fact,) = found.facts.values()
    assert fact.startswith(f"on, since ORT_DISABLE_TELEMETRY={value!r}" if on else "off")


def test_a_runtime_that_was_there_first_is_warned_of() -> None:
    code = "import sys, types; sys.modules['onnxruntime'] = types.ModuleType('onnxruntime')\n"
    code += "import ftsdk, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    silent = {name: v for name, v in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    first, set_before = (
        subprocess.run(
            [sys.executable, "-W", "always", "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        for environment in (silent, silent | {"ORT_DISABLE_TELEMETRY": "0"})
    )
    assert "import ftsdk first" in first.stderr
    assert first.stdout == "1\n"
    assert "ftsdk first" not in set_before.stderr
    assert set_before.stdout == "0\n"


@pytest.mark.parametrize("root", ["sdk", "export", "calibration", "training", "benchmarks"])
def test_onnx_runtime_is_imported_in_one_place(root: str) -> None:
    """Where `ftsdk` is imported already, whose import silences it."""
    for path in (REPOSITORY / root).rglob("*.py"):
        if path == REPOSITORY / "sdk/ftsdk/engines/onnxruntime.py" or ".venv" in path.parts:
            continue
        if path == REPOSITORY / "benchmarks/optimum/worker.py":  # has no ftsdk beside it
            silent, imported, _ = path.read_text(encoding="utf-8").partition("import onnxruntime\n")
            assert imported
            assert 'os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")' in silent
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "onnxruntime" for name in names), path


#: An audit hook sees every socket that Python makes, whoever makes it.
WITHOUT_NETWORK = """
import json, sys
used = []
def watch(event, arguments):
    if event.split(".")[0] in ("socket", "urllib", "http", "ftplib", "smtplib", "telnetlib"):
        used.append(event)
        raise PermissionError(event)
sys.addaudithook(watch)
import ftsdk
with ftsdk.Analyzer(sys.argv[1], device="cpu") as analyzer:
    result = analyzer.analyze(sys.argv[2])
    analyzer.refine(result, regions=["nose"])
    result.to_json(); result.save(sys.argv[3])
import socket
try:
    socket.socket()
except PermissionError:
    caught = True
print(json.dumps([result.report, used[:-1], caught]))
"""


def test_an_analysis_makes_no_socket(mini_bundle: Path, face: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, mini_bundle, face, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    report, used, caught = json.loads(done.stdout)
    assert report
    assert used == []
    assert caught
