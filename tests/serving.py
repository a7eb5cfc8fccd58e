"""A running `ft-serve` for tests, and requests to it; `conftest.py` loads it as a plugin."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest
import skimage.data
from picture_files import save
from PIL import Image

from ftsdk.trust import NANO

Start = Callable[..., "Server"]
_START_SECONDS = 300  # of a machine that has other work


class Server:
    """A server process of its own, and a client of it."""

    def __init__(
        self,
        bundle: Path,
        *options: str,
        preexec: Callable[[], object] | None = None,
        under: Sequence[str] = (),
    ) -> None:
        httpx = pytest.importorskip("httpx", reason="httpx is not installed (extra test)")
        pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-c", "from ftsdk.serve.cli import main; main()"]
        arguments = ["--bundle", str(bundle), "--device", "cpu", "--port", str(self.port), *options]
        self.process = subprocess.Popen([*under, *command, *arguments], preexec_fn=preexec)
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def wait_until_ready(self) -> None:
        """Return once /readyz says so."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except Exception:  # whatever a port says that nobody listens on yet
                pass
            time.sleep(0.1)
        raise AssertionError("the server did not get ready")

    def metric(self, name: str) -> float:
        """Return the value of one line of /metrics."""
        lines = self.client.get("/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))

    def resident(self) -> int:
        """Return the bytes of memory that the process holds."""
        return psutil.Process(self.process.pid).memory_info().rss

    def analyze(self, picture: bytes, **query: Any) -> dict[str, Any]:
        """Return the answer to a picture."""
        headers = {"Content-Type": "application/octet-stream"}
        answer = self.client.post("/v1/analyze", content=picture, params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def stop(self) -> int:
        """Ask the process to end and return its exit code."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def face_png(mark: int = 0) -> bytes:
    """Return a small picture of a face, 104 x 100; each mark makes another."""
    portrait = skimage.data.astronaut()[:208, 120:320]
    pixels = cv2.resize(portrait, (100, 104), interpolation=cv2.INTER_AREA)
    pixels[:8, :8] = mark % 256, mark // 256 % 256, 128
    return save(Image.fromarray(pixels), "PNG")


@pytest.fixture(scope="session")
def served_bundle() -> Path:
    """The built-in bundle, or that of the environment variable FTSDK_TEST_BUNDLE."""
    if (NANO / "manifest.json").is_file():
        return NANO
    chosen = os.environ.get("FTSDK_TEST_BUNDLE")
    if not chosen:
        pytest.skip("no bundle to serve: models/nano is not built and FTSDK_TEST_BUNDLE is not set")
    return Path(chosen)


@pytest.fixture(scope="session")
def server(served_bundle: Path) -> Iterator[Server]:
    """One server for all tests that leave it as they found it."""
    running = Server(served_bundle)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def endless_server(
    served_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server, with one place, whose model never finishes `endless.WHITE`."""
    endless = pytest.importorskip("endless", reason="onnx is not installed (extra export)")
    root = tmp_path_factory.mktemp("endless") / "endless.bundle"
    running = Server(endless.write_bundle(served_bundle, root), "--queue", "0")
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def token_server(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for the token `t` * 32."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text("t" * 32)
    running = Server(served_bundle, "--token-file", str(token))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture
def start(served_bundle: Path) -> Iterator[Start]:
    """A function that starts a server with options; all are stopped at the end."""
    running: list[Server] = []

    def begin(*options: str, wait: bool = True) -> Server:
        running.append(Server(served_bundle, *options))
        if wait:
            running[-1].wait_until_ready()
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.stop()
