"""Connections to a real uvicorn: what a client may take its time for, and who makes room."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed (extra serve)")

from ftsdk.serve.connections import Connections, Patience  # noqa: E402

_HASTE = Patience(head=0.4, rest=0.4, progress=0.4, upload=0.1)
_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answer /large with 64 MB, /body after the body, /slow after a second, all else at once."""
    assert scope["type"] == "http"
    if scope["path"] == "/body":
        while (await receive()).get("more_body"):
            pass
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    content = bytes(2**26) if scope["path"] == "/large" else b"well"
    length = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": content})


@contextmanager
def _serving(limit: int, patience: Patience = _HASTE) -> Iterator[tuple[int, Connections]]:
    connections = Connections(limit, patience)
    config = uvicorn.Config(
        _app, http=connections.protocol, ws="none", lifespan="off", log_level="critical",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1], connections
    finally:
        server.should_exit = True
        thread.join(10)
    assert not thread.is_alive()


def _connect(port: int, sent: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 5, (address, 0))
    connection.sendall(sent)
    return connection


def _all_of(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(1 << 16):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def _answer(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"well"):
        chunk = connection.recv(1 << 16)
        assert chunk, f"closed after {received!r}"
        received += chunk
    return received


def _drip(connection: socket.socket, sent: bytes) -> None:
    for letter in sent:
        connection.sendall(bytes([letter]))
        time.sleep(0.05)


def _refusal(received: bytes) -> tuple[int, dict[str, str]]:
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


def _until(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_head_that_does_not_end_is_refused() -> None:
    with _serving(8) as (port, connections), _connect(port, _GET[:-2]) as half:
        status, error = _refusal(_all_of(half))
        assert (status, error["class"]) == (408, "ConnectionsError")
        _until(lambda: not connections._open)


def test_a_head_that_drips_has_no_more_time() -> None:
    gone = pytest.raises((BrokenPipeError, ConnectionResetError))
    with _serving(8) as (port, _), _connect(port) as dripping, gone:
        _drip(dripping, _GET[:-4] + b"x" * 200)


def test_a_connection_that_says_nothing_is_closed() -> None:
    with _serving(8) as (port, _), _connect(port) as silent:
        assert _all_of(silent) == b""


def test_a_second_head_has_the_same_time() -> None:
    with _serving(8) as (port, _), _connect(port, _GET) as kept:
        assert _answer(kept)
        time.sleep(0.6)  # idle connections live longer
        kept.sendall(_GET)
        assert _answer(kept)
        kept.sendall(_GET[:-2])
        assert _refusal(_all_of(kept))[0] == 408


def test_what_is_left_of_a_body_after_the_answer_has_its_time_too() -> None:
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
    with _serving(8) as (port, _), _connect(port, post) as owing:
        assert _answer(owing)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _drip(owing, b"x" * 60)


def test_an_answer_that_nobody_takes_is_dropped() -> None:
    get = _GET.replace(b"/ ", b"/large ")
    with _serving(8) as (port, connections), _connect(port, get):
        _until(lambda: connections._open)
        _until(lambda: not connections._open)


def test_an_answer_that_is_taken_in_pieces_arrives_whole() -> None:
    get = _GET.replace(b"/ ", b"/large ")
    with _serving(8) as (port, _), _connect(port, get) as slow:
        received = 0
        while received < 2**26:
            received += len(slow.recv(2**21))
            time.sleep(0.01)


def test_requests_one_behind_the_other_are_answered() -> None:
    with _serving(8) as (port, _), _connect(port, _GET + _GET.replace(b"/ ", b"/slow ")) as piped:
        first = _answer(piped)
        assert first.count(b"well") == 2 or _answer(piped)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000,
    ],
)
def test_what_is_no_http_is_refused_as_everything_is(raw: bytes) -> None:
    with _serving(8) as (port, _), _connect(port, raw) as strange:
        status, error = _refusal(_all_of(strange))
        assert status == 400
        assert set(error) == {"class", "what", "expected", "found", "cure"}


def test_half_open_connections_of_an_address_make_room_for_its_next_one() -> None:
    crowd = []
    with _serving(16, Patience()) as (port, connections):
        for _ in range(40):
            crowd.append(_connect(port, _GET[:-2]))
            with closing(_connect(port, _GET)) as polite:
                assert _answer(polite)
        assert len(connections._open) <= 4
        for one in crowd:
            one.close()


def test_half_open_connections_of_many_addresses_make_room_too() -> None:
    with _serving(8, Patience()) as (port, connections):
        crowd = [_connect(port, _GET[:-2], f"127.0.1.{1 + number}") for number in range(30)]
        with closing(_connect(port, _GET)) as polite:
            assert _answer(polite)
        assert len(connections._open) <= 8
        for one in crowd:
            one.close()


def test_half_open_connections_close_no_other_of_their_address() -> None:
    with _serving(16, Patience()) as (port, _), closing(_connect(port, _GET)) as kept:
        assert _answer(kept)
        crowd = [_connect(port, _GET[:-2]) for _ in range(30)]
        kept.sendall(_GET)
        assert _answer(kept)
        for one in crowd:
            one.close()


def test_uploads_that_drip_make_room_after_a_while() -> None:
    post = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx"
    with _serving(8) as (port, _):
        crowd = [_connect(port, post) for _ in range(2)]
        time.sleep(0.3)
        with closing(_connect(port, _GET)) as polite:
            assert _answer(polite)
        for one in crowd:
            one.close()


def test_what_is_being_answered_makes_no_room() -> None:
    get = _GET.replace(b"/ ", b"/slow ")
    with _serving(8) as (port, connections):
        working = [_connect(port, get) for _ in range(2)]
        _until(lambda: len(connections._open) == 2)
        time.sleep(0.1)
        with closing(_connect(port)) as third:
            status, error = _refusal(_all_of(third))
        assert (status, error["class"]) == (503, "ConnectionsError")
        for one in working:
            assert _answer(one)
            one.close()


_CHUNKED = b"POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("path", [b"/body", b"/"])
def test_a_body_of_tiny_chunks_is_refused_also_behind_an_answer(path: bytes) -> None:
    with _serving(9, Patience()) as (port, _), closing(_connect(port, _CHUNKED % path)) as client:
        if path == b"/":
            assert b" 200 OK" in _answer(client)
        with suppress(ConnectionError):
            client.sendall(b"200\r\n" + bytes(512) + b"\r\n" + b"1\r\nx\r\n" * 1100)
        refusal = _all_of(client)
    assert refusal.split(b" ")[1] == b"400"
    assert b"few chunks" in refusal


@pytest.mark.parametrize(("size", "count"), [(1, 999), (512, 20_000), (1 << 16, 40)])
def test_a_body_in_chunks_is_taken(size: int, count: int) -> None:
    chunk = b"%x\r\n" % size + bytes(size) + b"\r\n"
    with _serving(9, Patience()) as (port, _), closing(_connect(port)) as client:
        for _ in range(2):
            client.sendall(_CHUNKED % b"/body" + chunk * count + b"0\r\n\r\n")
            assert b" 200 OK" in _answer(client)
