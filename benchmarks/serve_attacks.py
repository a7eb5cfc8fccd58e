"""What a polite client notices while others attack ft-serve; starts a service of its own.

    python benchmarks/serve_attacks.py --gigabytes 2 --half-open 1100 --flooders 16

Everything stays on loopback. Needs httpx.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psutil
from marked import marked_picture

_OCTETS = {"Content-Type": "application/octet-stream"}
_TOKEN = "t" * 32
_BEARER = {"Authorization": f"Bearer {_TOKEN}"}
_MEGA = 10**6
_START_SECONDS = 120.0
_ROUTES = (
    ("POST", "/v1/session"), ("POST", "/v1/analyze"), ("POST", "/v1/analyze/stream"),
    ("POST", "/v1/refine"), ("POST", "/v1/refine/stream"), ("GET", "/v1/model"),
    ("DELETE", "/v1/analyses/" + "a" * 22), ("GET", "/metrics"), ("GET", "/healthz"),
    ("GET", "/readyz"), ("GET", "/"), ("POST", "/v2/models/nano/infer"), ("GET", "/v2"),
)  # fmt: skip


class Service:
    """A running ft-serve with a token."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "token").write_text(_TOKEN)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        command = [sys.executable, "-c", "from ftsdk.serve.cli import main; main()"]
        arguments = ["--port", str(self.port), "--token-file", str(folder / "token"), *options]
        self._process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        self.stop()
        raise SystemExit(f"the service did not start; exit code {self._process.returncode}")

    def megabytes(self) -> float:
        """Return the memory of the service itself."""
        return psutil.Process(self._process.pid).memory_info().rss / _MEGA

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def client(self) -> httpx.AsyncClient:
        """Return a client of it."""
        return client_of(self.url, "127.0.0.1")


def client_of(url: str, address: str) -> httpx.AsyncClient:
    """Return a client that comes from an address of loopback."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=url, transport=transport, timeout=300, headers=_BEARER)


def picture(mark: int) -> bytes:
    """Return a PNG that no other mark has."""
    return cv2.imencode(".png", marked_picture(mark))[1].tobytes()


async def analyzed(client: httpx.AsyncClient, mark: int) -> httpx.Response:
    """Send a picture."""
    return await client.post("/v1/analyze", content=picture(mark), headers=_OCTETS)


async def polite(service: Service, count: int) -> dict[str, float]:
    """Ask `count` times, come back when told to, and return the waits for an answer."""
    waits, dropped = [], 0
    async with service.client() as client:
        for number in range(count):
            start = time.perf_counter()
            while True:
                try:
                    answer = await analyzed(client, 10**6 + number)
                except httpx.TransportError:
                    dropped += 1
                    continue
                if answer.status_code == 200:
                    break
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
            waits.append(time.perf_counter() - start)
    return seconds(waits) | {"dropped_connections": dropped}


async def health(service: Service, until: asyncio.Event) -> dict[str, float]:
    """Ask /healthz until told to stop, each time by a new connection, and return the waits."""
    waits, dropped = [], 0
    while not until.is_set():
        try:
            async with service.client() as client:
                start = time.perf_counter()
                assert (await client.get("/healthz")).status_code == 200
        except httpx.TransportError:
            dropped += 1
            continue
        waits.append(time.perf_counter() - start)
        await asyncio.sleep(0.05)
    return seconds(waits) | {"dropped_connections": dropped}


@asynccontextmanager
async def watched(service: Service, numbers: dict[str, Any]) -> AsyncIterator[None]:
    """Note how long /healthz takes inside the block."""
    until = asyncio.Event()
    asking = asyncio.create_task(health(service, until))
    yield
    until.set()
    numbers["healthz"] = await asking


def seconds(waits: list[float]) -> dict[str, float]:
    """Return the middle and the largest of waits."""
    ordered = sorted(waits)
    middle = ordered[len(ordered) // 2]
    return {"count": len(ordered), "median_s": round(middle, 3), "most_s": round(ordered[-1], 3)}


@contextmanager
def attacked(attack: Callable[..., Coroutine[Any, Any, None]], *values: Any) -> Iterator[None]:
    """Run an attack in a process of its own, so that it slows no one but the service."""
    process = multiprocessing.get_context("spawn").Process(target=_attack, args=(attack, *values))
    process.start()
    time.sleep(5)
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _attack(attack: Callable[..., Coroutine[Any, Any, None]], *values: Any) -> None:
    asyncio.run(attack(*values))


async def hold_half_open(port: int, count: int) -> None:
    """Hold connections whose request never ends, renewed a second after they are closed."""
    head = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Le"

    async def hold() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(head)
                await reader.read()
                writer.close()
            except OSError:
                pass
            await asyncio.sleep(1)

    await asyncio.gather(*(hold() for _ in range(count)))


async def ask_without_pause(url: str, addresses: list[str]) -> None:
    """Ask from every address, again as soon as there is an answer or a refusal."""

    async def ask(number: int) -> None:
        async with client_of(url, addresses[number]) as client:
            for turn in itertools.count():
                await analyzed(client, number + turn * len(addresses))

    await asyncio.gather(*map(ask, range(len(addresses))))


async def noticed(service: Service, pictures: int) -> dict[str, Any]:
    """Return what a polite client notices now."""
    numbers: dict[str, Any] = {}
    async with watched(service, numbers):
        numbers["polite"] = await polite(service, pictures)
    return numbers


async def endless_body(service: Service, method: str, path: str, size: int) -> None:
    """Send a body without a token for as long as it is taken."""
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    try:
        writer.write(head.encode())
        for _ in range(size >> 16):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def bodies(service: Service, gigabytes: float) -> dict[str, Any]:
    """Send that much to every route, without a token."""
    before = most = service.megabytes()
    numbers: dict[str, Any] = {"before_mb": round(before)}
    async with watched(service, numbers):
        for method, path in _ROUTES:
            await endless_body(service, method, path, round(gigabytes * 10**9))
            most = max(most, service.megabytes())
    return numbers | {"most_mb": round(most), "after_mb": round(service.megabytes())}


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def hostile_files(size: int) -> dict[str, bytes]:
    """Return pictures of about `size` bytes that are made to cost time or memory."""
    jpeg = cv2.imencode(".jpg", marked_picture(1))[1].tobytes()
    progressive = cv2.imencode(
        ".jpg", marked_picture(2, 4000, 4000), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    )[1].tobytes()
    scan = progressive.rindex(b"\xff\xda")
    large = cv2.imencode(".png", np.zeros((6000, 6000, 3), np.uint8))[1].tobytes()
    start, rest = large[:33], large[33:]
    bomb = zlib.compress(bytes(10**8), 9)
    text = _chunk(b"zTXt", b"a\0\0" + bomb)
    return {
        "fill bytes": jpeg[:2] + b"\xff" * size + jpeg[2:],
        "empty segments": jpeg[:2] + b"\xff\xe1\x00\x02" * (size // 4) + jpeg[2:],
        "200 scans": progressive[:-2] + progressive[scan:-2] * 199 + progressive[-2:],
        "compressed text": start + text * (size // len(text)) + rest,
        "empty chunks": start + _chunk(b"tEXt", b"a\0") * (size // 14) + rest,
        "36 megapixels of one colour": large,
        "more pixels than are taken": start[:16] + struct.pack(">II", 60000, 60000) + large[24:],
        "noise": np.random.default_rng(1).bytes(size),
    }


async def hostile(service: Service, size: int) -> dict[str, Any]:
    """Send hostile pictures, corrections and forms, one after the other."""
    numbers: dict[str, Any] = {}
    broken = b'{"id": "%s", "mask": {"width": 9, "height": 9, "run_lengths": [%s 1]}}'
    corrections = {
        "a million strings": broken % (b"a" * 22, b'"x",' * 10**6),
        "a million fractions": broken % (b"a" * 22, b"1.5," * 999_998),
        "depth": b"[" * 8 * _MEGA,
    }
    edge = "multipart/form-data; boundary=edge"
    part = b'--edge\r\nContent-Disposition: form-data; name="p"\r\n\r\nx\r\n'
    requests: list[tuple[str, Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]]] = []
    for name, data in hostile_files(size).items():
        requests.append((name, _post("/v1/analyze", data, _OCTETS["Content-Type"])))
    for name, data in corrections.items():
        requests.append((name, _post("/v1/refine", data, "application/json")))
    requests.append(("half a million parts", _post("/v1/analyze", part * (size // 60), edge)))
    async with service.client() as client, watched(service, numbers):
        for name, send in requests:
            start = time.perf_counter()
            try:
                outcome = str((await send(client)).status_code)
            except httpx.TransportError as error:
                outcome = type(error).__name__
            numbers[name] = f"{outcome} after {time.perf_counter() - start:.2f} s"
    return numbers


def _post(
    path: str, data: bytes, kind: str
) -> Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]:
    return lambda client: client.post(path, content=data, headers={"Content-Type": kind})


async def run(service: Service, options: argparse.Namespace) -> dict[str, Any]:
    """Attack in turn and return the numbers."""
    numbers = {"alone": await noticed(service, options.pictures)}
    same = ["127.0.0.1"] * options.flooders
    others = [f"127.0.1.{number + 1}" for number in range(options.flooders)]
    attacks: dict[str, tuple[Any, ...]] = {
        "half_open": (hold_half_open, service.port, options.half_open),
        "flood_of_one_address": (ask_without_pause, service.url, same),
        "flood_of_many": (ask_without_pause, service.url, others),
    }
    for name, attack in attacks.items():
        with attacked(*attack):
            numbers[name] = await noticed(service, options.pictures)
        tell(numbers)
    numbers["bodies_without_a_token"] = await bodies(service, options.gigabytes)
    tell(numbers)
    numbers["hostile"] = await hostile(service, 30 * _MEGA)
    return numbers


def tell(numbers: dict[str, Any]) -> None:
    """Print the newest numbers as progress."""
    name = list(numbers)[-1]
    print(json.dumps({name: numbers[name]}), file=sys.stderr, flush=True)


def main() -> None:
    """Print the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half-open", type=int, default=1100)
    parser.add_argument("--flooders", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--timeout", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), "--timeout", str(options.timeout), "--device", "cpu")
        try:
            print(json.dumps(asyncio.run(run(service, options)), indent=1))
        finally:
            service.stop()


if __name__ == "__main__":
    main()
