"""The service under bad input, impatient clients, full queues and a request to stop."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
httpx = pytest.importorskip("httpx")

import endless  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from picture_files import encoded, jpeg_of, png_of  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving import Server, Start, face_png  # noqa: E402

_CANCELLED = 'ftsdk_analyses_total{outcome="cancelled"}'
_OCTETS = {"Content-Type": "application/octet-stream"}
# FTSDK_FUZZ_EXAMPLES=200 looks longer than the suite has time for.
EXAMPLES = int(os.environ.get("FTSDK_FUZZ_EXAMPLES", "12"))
_ANALYSIS = "/v1/analyses/{key}"
_MODELS = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
_OPERATIONS = [
    *(("/v1" + path, "POST") for path in ("/analyze", "/analyze/stream", "/refine")),
    *(("/v1" + path, "POST") for path in ("/refine/stream", "/session")),
    *((path, "GET") for path in ("/healthz", "/readyz", "/metrics", "/v1/model", _ANALYSIS)),
    *((f"{_ANALYSIS}/{name}.png", "GET") for name in ("mask", "overlay", "heatmap", "picture")),
    (f"{_ANALYSIS}/probabilities.png", "GET"),
    (f"{_ANALYSIS}/report.html", "GET"),
    (_ANALYSIS, "DELETE"),
    *((path, "GET") for path in ("/v2", "/v2/health/live", "/v2/health/ready")),
    *((model + path, "GET") for model in _MODELS for path in ("", "/ready")),
    *((f"{model}/infer", "POST") for model in _MODELS),
]
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="session")
def api(server: Server) -> Any:
    """The API as its own OpenAPI document describes it."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def test_the_fuzz_covers_the_whole_description(api: Any) -> None:
    operations = {(path, method.upper()) for path in api for method in api[path]}
    assert operations == set(_OPERATIONS)


@pytest.mark.parametrize(("path", "method"), _OPERATIONS)
def test_the_described_api_never_fails(api: Any, path: str, method: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy())
    def fuzz(case: Any) -> None:
        case.call_and_validate(checks=_CHECKS)

    fuzz()


def _check(api: Any, method: str, path: str, answer: Any) -> None:
    answer.request.read()
    api[path][method].validate_response(answer)


def test_every_kind_of_answer_is_as_described(server: Server, api: Any) -> None:
    client = server.client
    done = client.post("/v1/analyze", files={"picture": ("a.png", face_png(), "image/png")})
    _check(api, "POST", "/v1/analyze", done)
    key = done.json()["id"]
    label = next(iter(done.json()["region_probabilities"]))
    wish = {"id": key, "regions": [label], "by": "Ada"}
    refined = client.post("/v1/refine", json=wish)
    assert refined.status_code == 200
    _check(api, "POST", "/v1/refine", refined)
    for name in ("", "/mask.png", "/overlay.png", "/heatmap.png", "/picture.png", "/report.html"):
        answer = client.get(f"/v1/analyses/{key}{name}")
        assert answer.status_code == 200
        _check(api, "GET", f"/v1/analyses/{{key}}{name}", answer)
    for path in ("/v1/model", "/healthz", "/readyz", "/metrics"):
        _check(api, "GET", path, client.get(path))
    assert client.delete(f"/v1/analyses/{key}").status_code == 204
    gone = client.get(f"/v1/analyses/{key}")
    assert gone.status_code == 404
    _check(api, "GET", "/v1/analyses/{key}", gone)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 415),
        (b"\x00" * 64, 415),
        (b"GIF89a" + bytes(64), 422),
        (encoded("jpeg")[:400], 422),
        (png_of(8, 8), 422),
        (png_of(8, 65_000), 422),
        (png_of(65_000, 65_000), 413),
        (jpeg_of(60_000, 60_000), 413),
    ],
)
def test_a_body_that_is_no_picture_gets_its_status(
    server: Server, body: bytes, status: int
) -> None:
    for path in ("/v1/analyze", "/v1/analyze/stream"):
        answer = server.client.post(path, content=body, headers=_OCTETS)
        assert answer.status_code == status, answer.text
        assert set(answer.json()["error"]) == {"class", "what", "expected", "found", "cure"}


@pytest.mark.parametrize("at", range(16))
def test_raw_bytes_on_the_socket_never_fail_it(server: Server, at: int) -> None:
    body = bytearray(encoded(["jpeg", "png", "webp", "progressive"][at % 4]))
    for place in range(at, len(body), 97):
        body[place] ^= 0x5A
    answer = server.client.post("/v1/analyze", content=bytes(body), headers=_OCTETS)
    assert answer.status_code < 500


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: -4\r\n\r\n",
        b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
        b"boundary=x\r\nContent-Length: 9\r\n\r\n--x\r\n\r\n\r\n",
        bytes(range(256)) * 8,
    ],
)
def test_broken_http_never_fails_it(server: Server, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        reply = connection.recv(4096)
    assert not reply.startswith(b"HTTP/1.1 5")
    assert server.client.get("/healthz").status_code == 200


def _open_stream(server: Server, body: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    head = f"POST /v1/analyze/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
    connection.sendall(f"{head}\r\nContent-Type: image/png\r\n\r\n".encode() + body)
    return connection


def _until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_clients_that_go_away_lose_no_slot(start: Start) -> None:
    server = start("--queue", "1")
    for mark in range(20):
        with _open_stream(server, face_png(mark)) as connection:
            if mark % 2:
                connection.recv(200)
        _until(lambda: server.metric("ftsdk_running") + server.metric("ftsdk_queue_depth") == 0)
    assert server.analyze(face_png())["id"]


def test_a_stage_that_never_ends_stops_with_its_client(endless_server: Server) -> None:
    server = endless_server
    before = server.metric(_CANCELLED)
    for _ in range(5):
        with _open_stream(server, endless.WHITE):
            _until(lambda: server.metric("ftsdk_running") == 1)
            time.sleep(0.2)
        _until(lambda: server.metric("ftsdk_running") + server.metric("ftsdk_queue_depth") == 0)
    assert server.metric(_CANCELLED) == before + 5
    assert server.analyze(face_png())["id"]


def test_a_full_queue_says_so_and_when_to_come_back(endless_server: Server) -> None:
    server = endless_server
    with _open_stream(server, endless.WHITE):
        _until(lambda: server.metric("ftsdk_running") == 1)
        refused = server.client.post("/v1/analyze", content=face_png(), headers=_OCTETS)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
    assert server.analyze(face_png())


def test_an_upload_that_never_ends_is_given_up(start: Start) -> None:
    server = start("--upload-timeout", "1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
        slow.sendall(b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx")
        assert slow.recv(100).startswith(b"HTTP/1.1 400")
    large = server.client.post("/v1/analyze", content=bytes(33_000_000), headers=_OCTETS)
    assert large.status_code == 413


def test_sigterm_lets_running_answers_finish(start: Start) -> None:
    server = start()
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(server.analyze(face_png())))
    asking.start()
    _until(lambda: server.metric("ftsdk_running") + server.metric("ftsdk_queue_depth") > 0 or found)
    server.process.terminate()
    asking.join(30)
    assert found
    assert found[0]["id"]
    assert server.process.wait(30) in (0, -15)


def test_answers_of_many_clients_are_not_mixed_up(server: Server) -> None:
    alone = {mark: server.analyze(face_png(mark)) for mark in range(4)}
    found: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda mark=mark: found.update({mark: _patient(server, mark)}))
        for mark in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mark, answer in found.items():
        for field in ("picture", "mask", "report", "score"):
            assert answer[field] == alone[mark][field]


def _patient(server: Server, mark: int) -> dict[str, Any]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        while True:
            answer = client.post("/v1/analyze", content=face_png(mark), headers=_OCTETS, params={
                "name": "bytes"})  # fmt: skip
            if answer.status_code != 429:
                document: dict[str, Any] = answer.json()
                return document | {"picture": document["picture"] | {"name": "picture"}}
            time.sleep(0.2)


def test_others_hosts_origins_and_wrong_tokens_stay_out(start: Start, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 32)
    server = start("--token-file", str(token))
    client = server.client
    assert client.get("/v1/model").status_code == 401
    assert client.get("/metrics").status_code == 401
    assert client.get("/").status_code == 200
    right = {"Authorization": f"Bearer {'t' * 32}"}
    assert client.get("/v1/model", headers=right).status_code == 200
    assert client.get("/v1/model", headers=right | {"Host": "evil.example"}).status_code == 403
    foreign = right | {"Origin": "http://evil.example"}
    assert client.post("/v1/session", json={"token": "t"}, headers=foreign).status_code == 403
    assert client.post("/v1/session", json={"token": "wrong"}).status_code == 401
    assert client.post("/v1/session", json={"token": "t" * 32}).status_code == 204
    assert client.get("/v1/model").status_code == 200


def test_a_store_outlives_the_process(start: Start, tmp_path: Path) -> None:
    first = start("--store", str(tmp_path / "kept"))
    answer = first.analyze(face_png(), name='a "quoted" <name>.png')
    first.stop()
    second = start("--store", str(tmp_path / "kept"))
    kept = second.client.get(f"/v1/analyses/{answer['id']}").json()
    assert kept == answer
    wish = {"id": answer["id"], "mask": {"width": 1, "height": 1, "run_lengths": [0, 1]}}
    refined = second.client.post("/v1/refine", json=wish).json()
    assert refined["corrections"] == ["mask"]
    assert refined["mask"]["area"] > 0.5  # all of the face's frame
    report = second.client.get(f"/v1/analyses/{refined['id']}/report.html")
    assert "mask painted" in report.text
    assert "<name>" not in report.text


def test_others_are_not_served_without_a_token(served_bundle: Path) -> None:
    command = [sys.executable, "-c", "from ftsdk.serve.cli import main; main()"]
    arguments = ["--bundle", str(served_bundle), "--host", "0.0.0.0"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--token-file" in done.stderr
