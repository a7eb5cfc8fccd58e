"""Endless bodies to every route of ft-serve, without its token and with it: what memory they take.

    python benchmarks/serve_bodies.py --gigabytes 2

The routes are those of the application, so that a new one is among them. A body is chunked, so that
no header tells its size; it is sent for as long as it is taken. Memory is the resident set of the
service and its decoders. Everything stays on loopback.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attacked import BEARER, Memory, Service, ask, tell, watched

from ftsdk.serve.app import create_app
from ftsdk.serve.settings import Settings

_CHUNK = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
_VALUES = {"{key}": "a" * 22, "{name}": "nano", "{version}": "1"}


def routes() -> list[tuple[str, str]]:
    """Return method and path of every route, with values in the place of parameters."""
    app = create_app(Settings(device="cpu"))
    app.state.service.close()
    found = [*_of(app.routes), ("POST", "/no/such/route")]
    for parameter, value in _VALUES.items():
        found = [(method, path.replace(parameter, value)) for method, path in found]
    return sorted(set(found), key=lambda route: route[::-1])


def _of(listed: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for route in listed:
        inner = getattr(route, "original_router", None)  # FastAPI 0.16x keeps routers whole
        if inner is not None:
            yield from _of(inner.routes)
        elif getattr(route, "methods", None) is None:
            yield "GET", f"{route.path}/main.js"  # a mounted folder
        else:
            yield from ((method, route.path) for method in sorted(route.methods - {"HEAD"}))


def endless(size: int, sent: list[int]) -> Iterator[bytes]:
    """Yield chunks of `size` bytes together, and note how many were taken."""
    for _ in range(size >> 16):
        yield _CHUNK
        sent[0] += 1 << 16
    yield b"0\r\n\r\n"


def measured(service: Service, headers: dict[str, str], size: int) -> dict[str, Any]:
    """Send `size` bytes to every route, and return what it answered and took."""
    numbers: dict[str, Any] = {}
    framed = {**headers, "Transfer-Encoding": "chunked", "Content-Type": "image/png"}
    with Memory(service) as all_of_it:
        for method, path in routes():
            sent = [0]
            with Memory(service) as memory:
                status = ask(service.port, method, path, endless(size, sent), framed)
            taken = f"{sent[0] / 1e6:.0f} MB taken, {memory.most - memory.before:+.0f} MB at most"
            numbers[f"{method} {path}"] = f"{status}, {taken}"
            tell(numbers)
    ends = {"before_mb": all_of_it.before, "most_mb": all_of_it.most}
    rounded = {name: round(value) for name, value in ends.items()}
    return {**rounded, "after_mb": round(service.megabytes()), "routes": numbers}


def main() -> None:
    """Print the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2)
    size = round(parser.parse_args().gigabytes * 10**9)
    numbers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), "--device", "cpu")
        try:
            for name, headers in {"without a token": {}, "with the token": BEARER}.items():
                told: dict[str, Any] = {}
                with watched(service, told):
                    told |= measured(service, headers, size)
                numbers[name] = told
        finally:
            service.stop()
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
