"""What a polite client notices while others attack ft-serve; starts a service of its own.

    python benchmarks/serve_attacks.py --half-open 1100 --flooders 16
    python benchmarks/serve_attacks.py hostile --timeout 3

Everything stays on loopback. /healthz is asked by a process of its own, over a new connection each
time, by turns with a bare process that does nothing but answer: what that takes is the machine's.
Needs httpx.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from attacked import BEARER, MEGA, Service, ask, seconds, tell, watched
from hostile import files
from marked import marked_picture

_OCTETS = {"Content-Type": "application/octet-stream"}
_HOSTILE_BYTES = 30 * MEGA
_LARGEST_SIDE = 6_300  # of a square picture that the service takes


def client_of(url: str, address: str) -> httpx.AsyncClient:
    """Return a client that comes from an address of loopback."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=url, transport=transport, timeout=300, headers=BEARER)


def picture(mark: int) -> bytes:
    """Return a PNG that no other mark has."""
    return cv2.imencode(".png", marked_picture(mark))[1].tobytes()


async def analyzed(client: httpx.AsyncClient, mark: int) -> httpx.Response:
    """Send a picture."""
    return await client.post("/v1/analyze", content=picture(mark), headers=_OCTETS)


async def polite(service: Service, count: int) -> dict[str, float]:
    """Ask `count` times, come back when told to, and return the waits for an answer."""
    waits, dropped = [], 0
    async with client_of(service.url, "127.0.0.1") as client:
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
    with watched(service, numbers):
        numbers["polite"] = await polite(service, pictures)
    return numbers


def corrections() -> Iterator[tuple[str, bytes]]:
    """Yield bodies of /v1/refine that are made to cost time."""
    broken = b'{"id": "%s", "mask": {"width": 9, "height": 9, "run_lengths": [%s 1]}}'
    yield "a million strings", broken % (b"a" * 22, b'"x",' * 10**6)
    yield "a million fractions", broken % (b"a" * 22, b"1.5," * 999_998)
    yield "a million runs", broken % (b"a" * 22, b"1," * 999_998)
    yield "depth", b"[" * 8 * MEGA


def tensors(size: int) -> Iterator[tuple[str, bytes]]:
    """Yield bodies of /v2/.../infer that are made to cost time."""
    broken = b'{"inputs": [{"name": "%s", "shape": [1, 9], "datatype": "%s", "data": [%s]}]}'
    for name, number in (("fractions", b"1.5"), ("nested", b"[1]"), ("objects", b"{}")):
        for count in (98_000, 10**6):
            numbers = b",".join([number] * count)
            yield f"{count} {name} in a tensor", broken % (b"pixels", b"UINT8", numbers)
    noise = base64.b64encode(np.random.default_rng(1).bytes(size))
    yield "base64", broken % (b"picture", b"BYTES", b'"' + noise + b'"')


def requests(size: int) -> Iterator[tuple[str, str, str, bytes]]:
    """Yield name, path, media type and body of what a hostile user sends."""
    infer = "/v2/models/nano/infer"
    for name, data in files(size, _LARGEST_SIDE):
        yield name, "/v1/analyze", "application/octet-stream", data
    yield "noise", "/v1/analyze", "image/png", np.random.default_rng(1).bytes(size)
    for name, data in corrections():
        yield name, "/v1/refine", "application/json", data
    for name, data in tensors(size):
        yield name, infer, "application/json", data
    part = b'--edge\r\nContent-Disposition: form-data; name="p"\r\n\r\nx\r\n'
    edge = "multipart/form-data; boundary=edge"
    yield "half a million parts", "/v1/analyze", edge, part * (size // len(part))
    yield "a form of line breaks", "/v1/analyze", edge, b"--edge\r\n" + b"\r\n" * (size // 2)


def hostile(service: Service) -> dict[str, Any]:
    """Send hostile pictures, corrections, tensors and forms, one after the other."""
    numbers: dict[str, Any] = {}
    slowest = (0.0, "")
    for name, path, kind, body in requests(_HOSTILE_BYTES):
        headers = {**BEARER, "Content-Type": kind, "Content-Length": str(len(body))}
        one: dict[str, Any] = {"path": path, "mb": round(len(body) / MEGA, 1)}
        with watched(service, one):
            start = time.perf_counter()
            one["status"] = ask(service.port, "POST", path, [body], headers)
            one["seconds"] = round(time.perf_counter() - start, 2)
        slowest = max(slowest, (one["seconds"], name))
        numbers[name] = one
        tell(numbers)
    return {"slowest": slowest[1], "seconds": slowest[0], "requests": numbers}


async def crowds(service: Service, options: argparse.Namespace) -> dict[str, Any]:
    """Let crowds come, one after the other, and return what a polite client notices."""
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
    return numbers


def main() -> None:
    """Print the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attacks", nargs="?", choices=("crowds", "hostile"), help="default: both")
    parser.add_argument("--half-open", type=int, default=1100)
    parser.add_argument("--flooders", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--timeout", type=float, default=30)
    options = parser.parse_args()
    numbers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), "--timeout", str(options.timeout), "--device", "cpu")
        try:
            if options.attacks != "hostile":
                numbers |= asyncio.run(crowds(service, options))
            if options.attacks != "crowds":
                numbers["hostile"] = hostile(service)
        finally:
            service.stop()
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
