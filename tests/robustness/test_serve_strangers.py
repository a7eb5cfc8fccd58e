"""The service among strangers: what they hold open, what they send, and what fails under it."""

from __future__ import annotations

import resource
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx", reason="httpx is not installed (extra test)")
pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

import cv2  # noqa: E402
import endless  # noqa: E402
import numpy as np  # noqa: E402
from serving import Server, Start, face_png, free_port  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from ftsdk.analyzer import Analyzer  # noqa: E402
from ftsdk.serve.app import create_app  # noqa: E402
from ftsdk.serve.settings import Settings  # noqa: E402

_OCTETS = {"Content-Type": "application/octet-stream"}
_HALF = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Le"
_FIELDS = {"class", "what", "expected", "found", "cure"}


def _large_png(side: int) -> bytes:
    """Return a PNG of noise, which compresses to about 3 bytes a pixel."""
    noise = np.random.default_rng(5).integers(0, 256, (side, side, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def _fill_disk(server: Server, most: int) -> None:
    """Let the server, whose decoder runs by now, write no file of more than `most` bytes."""
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))


def _error(answer: Any) -> dict[str, str]:
    document = answer.json()
    assert set(document) == {"schema_version", "error"}
    error: dict[str, str] = document["error"]
    assert set(error) == _FIELDS
    return error


def test_half_open_connections_shut_nobody_out(start: Start) -> None:
    server = start("--connections", "64")
    with ExitStack() as opened:
        for _ in range(300):
            one = opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            one.sendall(_HALF)
        with httpx.Client(base_url=server.url, timeout=20) as polite:
            assert polite.get("/healthz").status_code == 200
            assert polite.post("/v1/analyze", content=face_png(), headers=_OCTETS).json()["id"]


def test_uploads_that_drip_keep_no_place(start: Start) -> None:
    server = start("--queue", "0")
    head = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nx"
    with ExitStack() as opened:
        for _ in range(12):
            one = opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            one.sendall(head)
        assert server.analyze(face_png())["id"]


def _endless_body() -> Iterator[bytes]:
    for _ in range(2048):
        yield bytes(1 << 15)


def _status_of_64_megabytes(server: Server, method: str, path: str) -> int:
    """Return the status that comes before the body is through, or the answer to its beginning."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        try:
            for chunk in _endless_body():
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            connection.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        return int(connection.recv(4096).split()[1])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/session", 413),
        ("POST", "/v1/refine", 401),
        ("POST", "/v1/analyze", 401),
        ("GET", "/v1/model", 401),
        ("GET", "/healthz", 200),
        ("POST", "/nothing", 404),
    ],
)
def test_no_body_without_a_token_is_held(
    token_server: Server, method: str, path: str, status: int
) -> None:
    before = token_server.resident()
    assert _status_of_64_megabytes(token_server, method, path) == status
    assert token_server.resident() - before < 16 * 2**20


def test_wrong_tokens_are_throttled_by_address(token_server: Server) -> None:
    url = token_server.url
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.9")
    with httpx.Client(base_url=url, transport=elsewhere) as one:
        found = [one.post("/v1/session", json={"token": "w"}) for _ in range(12)]
    assert [answer.status_code for answer in found[:10]] == [401] * 10
    assert found[-1].status_code == 429
    assert found[-1].headers["Retry-After"] == "1"
    assert _error(found[-1])["class"] == "ThrottledError"
    right = {"Authorization": f"Bearer {'t' * 32}"}
    assert httpx.get(f"{url}/v1/model", headers=right).status_code == 200


@pytest.mark.parametrize("origin", ["http://[", "http://a:b", "null", "x", "http://:@/"])
def test_a_broken_origin_is_refused_as_everything_is(server: Server, origin: str) -> None:
    answer = server.client.get("/v1/model", headers={"Origin": origin})
    assert answer.status_code == 403
    assert _error(answer)["class"] == "RequestError"


def test_a_full_disk_is_told(served_bundle: Path, tmp_path: Path) -> None:
    server = Server(served_bundle, "--store", str(tmp_path / "kept"))
    try:
        server.wait_until_ready()
        _fill_disk(server, 1 << 17)
        picture = _large_png(300)
        answer = server.client.post("/v1/analyze", content=picture, headers=_OCTETS)
        assert answer.status_code == 503
        assert "File too large" in _error(answer)["found"]
        stream = server.client.post("/v1/analyze/stream", content=picture, headers=_OCTETS)
        assert "StoreError" in stream.text
        assert server.metric("ftsdk_kept_analyses") == 0
        left = {path.name for path in (tmp_path / "kept").iterdir()}
        assert left <= {"index.sqlite3", "index.sqlite3-journal", "lock"}
    finally:
        server.stop()


def test_a_locked_store_is_told_and_metrics_do_not_wait(start: Start, tmp_path: Path) -> None:
    server = start("--store", str(tmp_path / "kept"))
    key = server.analyze(face_png())["id"]
    holder = sqlite3.connect(tmp_path / "kept" / "index.sqlite3")
    holder.execute("BEGIN EXCLUSIVE")
    for method in ("GET", "DELETE"):
        answer = server.client.request(method, f"/v1/analyses/{key}")
        assert answer.status_code == 503
        assert "locked" in _error(answer)["found"]
        assert server.metric("ftsdk_kept_analyses") == 1
    holder.close()
    assert server.client.delete(f"/v1/analyses/{key}").status_code == 204
    assert server.client.get(f"/v1/analyses/{key}").status_code == 404


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/analyze/stream"])
def test_a_fault_of_the_service_is_told_as_everything_is(
    served_bundle: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    with TestClient(create_app(Settings(bundle=served_bundle, device="cpu", hosts=()))) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.05)

        def broken(*_: object, **__: object) -> None:
            raise cv2.error("OpenCV's own words")

        monkeypatch.setattr(Analyzer, "stream", broken)
        answer = client.post(path, content=face_png(), headers=_OCTETS)
        assert answer.status_code == 500
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert _error(answer)["class"] == "ServiceFaultError"
        assert client.get("/healthz").status_code == 200


def test_a_time_out_is_told_in_time_and_frees_the_worker(
    served_bundle: Path, tmp_path: Path
) -> None:
    bundle = endless.write_bundle(served_bundle, tmp_path / "endless.bundle")
    server = Server(bundle, "--timeout", "1", "--queue", "0")
    try:
        server.wait_until_ready()
        for path in ("/v1/analyze", "/v1/analyze/stream"):
            answer = server.client.post(path, content=endless.WHITE, headers=_OCTETS)
            assert answer.status_code == 504
            assert _error(answer)["class"] == "AnalysisCancelledError"
        assert server.analyze(face_png())["id"]
    finally:
        server.stop()


def test_the_time_out_counts_the_upload(served_bundle: Path, tmp_path: Path) -> None:
    bundle = endless.write_bundle(served_bundle, tmp_path / "endless.bundle")
    server = Server(bundle, "--timeout", "3")
    halves = endless.WHITE[:50], endless.WHITE[50:]

    def dripping() -> Iterator[bytes]:
        for half in halves:
            yield half
            time.sleep(1)

    try:
        server.wait_until_ready()
        begun = time.monotonic()
        late = server.client.post("/v1/analyze", content=dripping(), headers=_OCTETS)
        assert late.status_code == 504
        assert time.monotonic() - begun < 4.8  # not 2 s of upload and 3 of analysis
        head = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx"
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            slow.sendall(head)
            assert slow.recv(100).startswith(b"HTTP/1.1 400")
    finally:
        server.stop()


def test_a_taken_port_is_told_before_anything_listens(served_bundle: Path) -> None:
    command = [sys.executable, "-c", "from ftsdk.serve.cli import main; main()"]
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["--bundle", str(served_bundle), "--port", port]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "listens" not in done.stdout
    assert "in use" in done.stderr


def test_a_large_form_needs_no_disk(served_bundle: Path) -> None:
    server = Server(served_bundle)
    try:
        server.wait_until_ready()
        _fill_disk(server, 1 << 16)
        files = {"picture": ("a.png", _large_png(700), "image/png")}
        answer = server.client.post("/v1/analyze", files=files)
        assert answer.status_code == 200
        assert answer.json()["picture"]["width"] == 700
    finally:
        server.stop()


def test_a_store_for_everybody_is_refused(served_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept").chmod(0o777)
    command = [sys.executable, "-c", "from ftsdk.serve.cli import main; main()"]
    arguments = ["--bundle", str(served_bundle), "--port", str(free_port())]
    arguments += ["--store", str(tmp_path / "kept")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "chmod go-w" in done.stderr
