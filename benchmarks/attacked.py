"""An ft-serve to be attacked, and what is noticed of it meanwhile, from processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

TOKEN = "t" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}
MEGA = 10**6
_START_SECONDS = 120.0
_SPAWN = multiprocessing.get_context("spawn")
_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Service:
    """A running ft-serve with a token.

    Args:
        folder: where the token is put.
        options: of the command.
        before: Python that its process runs first.
    """

    def __init__(self, folder: Path, *options: str, before: str = "") -> None:
        (folder / "token").write_text(TOKEN)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        command = [sys.executable, "-c", f"{before}\nfrom ftsdk.serve.cli import main; main()"]
        arguments = ["--port", str(self.port), "--token-file", str(folder / "token"), *options]
        self._process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError):
                if ask(self.port, "GET", "/readyz") == "200":
                    return
            time.sleep(0.1)
        self.stop()
        raise SystemExit(f"the service did not start; exit code {self._process.returncode}")

    def megabytes(self) -> float:
        """Return the memory of the service and its decoders."""
        return sum(self._of_each(lambda one: one.memory_info().rss)) / MEGA

    def processor_seconds(self) -> float:
        """Return the processor time of the service and of the decoders that it has now."""
        return sum(self._of_each(lambda one: sum(one.cpu_times()[:2])))

    def _of_each(self, fact: Callable[[psutil.Process], float]) -> Iterator[float]:
        service = psutil.Process(self._process.pid)
        for one in (service, *service.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # a decoder may end meanwhile
                yield fact(one)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def ask(
    port: int,
    method: str,
    path: str,
    body: Iterable[bytes] = (),
    headers: dict[str, str] | None = None,
    seconds: float = 300,
) -> str:
    """Send a request and return the answer's status; what ends it, where there is none.

    The body is sent as it is, so that `headers` say how it is framed.
    """
    given = {"Host": "localhost", "Connection": "close", **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {given[name]}" for name in given), "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            connection.sendall("\r\n".join(lines).encode())
            for piece in body:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before
        try:
            return connection.recv(1 << 16).split(b" ", 2)[1].decode()
        except (OSError, IndexError) as error:
            return type(error).__name__


def seconds(waits: list[float]) -> dict[str, float]:
    """Return the middle and the largest of waits."""
    ordered = sorted(waits) or [0.0]
    middle = ordered[len(ordered) // 2]
    return {"count": len(waits), "median_s": round(middle, 3), "most_s": round(ordered[-1], 3)}


def _echo(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def _wait(port: int) -> float | None:
    """Return how long a new connection's answer takes; None where it was closed without one."""
    start = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(_HEALTH)
            answer = connection.recv(1 << 16)
    except OSError:
        return None
    return time.perf_counter() - start if answer.startswith(b"HTTP/1.1 200") else None


def _ask_health(port: int, until: multiprocessing.connection.Connection) -> None:
    """Ask /healthz, and a process that does nothing but answer, by turns."""
    listening = socket.create_server(("127.0.0.1", 0))
    echo = _SPAWN.Process(target=_echo, args=(listening,), daemon=True)
    echo.start()
    waits: dict[str, list[float]] = {"healthz": [], "bare_process": []}
    dropped = 0
    ports = {"healthz": port, "bare_process": listening.getsockname()[1]}
    _wait(ports["bare_process"])  # it takes a second to start
    until.send(None)
    while not until.poll(0.05):
        for name, one in ports.items():
            found = _wait(one)
            dropped += found is None
            waits[name] += [] if found is None else [found]
    echo.kill()
    numbers = {name: seconds(waits[name]) for name in waits}
    until.send({**numbers, "dropped_connections": dropped})


@contextmanager
def watched(service: Service, numbers: dict[str, Any]) -> Iterator[None]:
    """Note how long /healthz takes inside the block, and a bare process on the same machine."""
    here, there = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_ask_health, args=(service.port, there))
    process.start()
    here.recv()
    try:
        yield
    finally:
        here.send(None)
        numbers.update(here.recv())
        process.join()


class Memory(threading.Thread):
    """The most that the service and its decoders hold inside `with`, in MB."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._service, self._ended = service, threading.Event()
        self.before = self.most = service.megabytes()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, self._service.megabytes())

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def tell(numbers: dict[str, Any]) -> None:
    """Print the newest numbers as progress."""
    name = list(numbers)[-1]
    print(json.dumps({name: numbers[name]}), file=sys.stderr, flush=True)
