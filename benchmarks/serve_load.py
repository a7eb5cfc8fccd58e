"""Load on a running ft-serve: many clients, each with its own picture, and clients that vanish.

    ft-serve --port 8000 --queue 8 &
    python -m benchmarks.serve_load http://127.0.0.1:8000 --clients 64 --seconds 120 --kills 200

Every answer is compared with the one that the same picture got alone. Needs httpx.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import cv2
import httpx
import numpy as np

from benchmarks.marked import marked_picture

_OCTETS = {"Content-Type": "application/octet-stream"}
_SAME = ("picture", "mask", "regions", "report", "score")
# Clients come back sooner than Retry-After asks, so that the queue stays full.
_IMPATIENCE = 0.25


@dataclass
class Tally:
    """What came of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    silent_refusals: int = 0
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def picture(mark: int) -> bytes:
    """Return a PNG that no other mark has."""
    return cv2.imencode(".png", marked_picture(mark))[1].tobytes()


async def analyze(client: httpx.AsyncClient, data: bytes) -> httpx.Response:
    """Send one picture."""
    return await client.post("/v1/analyze", content=data, headers=_OCTETS)


async def one_client(
    client: httpx.AsyncClient, mark: int, right: dict[str, Any], end: float, tally: Tally
) -> None:
    """Ask until `end`, and compare every answer with the right one."""
    data = picture(mark)
    while time.monotonic() < end:
        start = time.perf_counter()
        answer = await analyze(client, data)
        tally.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            tally.seconds.append(time.perf_counter() - start)
            found = answer.json()
            tally.wrong += any(found[name] != right[name] for name in _SAME)
            tally.wrong += found["picture"]["sha256"] != hashlib.sha256(data).hexdigest()
        elif answer.status_code == 429:
            tally.silent_refusals += not answer.headers.get("Retry-After", "").isdigit()
            await asyncio.sleep(_IMPATIENCE)


async def watch_memory(client: httpx.AsyncClient, end: float, tally: Tally) -> None:
    """Note the server's resident memory every second."""
    while time.monotonic() < end:
        tally.memory.append(await metric(client, "process_resident_memory_bytes") / 2**20)
        await asyncio.sleep(1)


async def metric(client: httpx.AsyncClient, name: str) -> float:
    """Return one value of /metrics."""
    lines = (await client.get("/metrics")).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))


def memory(every_second: list[float]) -> dict[str, float]:
    """Return what the server held, in MiB, and its growth over the second half a minute."""
    half = every_second[len(every_second) // 2 :]
    slope = np.polyfit(np.arange(len(half)), half, 1)[0] * 60
    ends = {"first": every_second[0], "half": half[0], "last": half[-1], "most": max(half)}
    return {k: round(v, 1) for k, v in (ends | {"second_half_slope_per_minute": slope}).items()}


async def kill_clients(client: httpx.AsyncClient, count: int) -> dict[str, float]:
    """Drop `count` streams at different moments; return how long the slot stayed taken."""
    data, waits = picture(0), []
    for number in range(count):
        task = asyncio.create_task(_begin(client, data, number % 4))
        await asyncio.sleep(0.01 * (number % 30))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        start = time.perf_counter()
        while await metric(client, "ftsdk_running") + await metric(client, "ftsdk_queue_depth"):
            await asyncio.sleep(0.005)
        waits.append(time.perf_counter() - start)
    return {"killed": count, "slowest_free_s": max(waits), "mean_free_s": sum(waits) / count}


async def _begin(client: httpx.AsyncClient, data: bytes, chunks: int) -> None:
    async with client.stream("POST", "/v1/analyze/stream", content=data, headers=_OCTETS) as sent:
        async for _ in sent.aiter_raw():
            chunks -= 1
            if chunks < 0:
                return


async def run(url: str, clients: int, seconds: float, kills: int) -> dict[str, Any]:
    """Run both parts and return the numbers."""
    limits = httpx.Limits(max_connections=clients + 8, keepalive_expiry=60)
    tally = Tally()
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        alone = [(await analyze(client, picture(mark))).json() for mark in range(clients)]
        end = time.monotonic() + seconds
        await asyncio.gather(
            watch_memory(client, end, tally),
            *(one_client(client, mark, alone[mark], end, tally) for mark in range(clients)),
        )
        killed = await kill_clients(client, kills) if kills else {}
        after = (await analyze(client, picture(0))).json()
    waits = sorted(tally.seconds)
    return {
        "statuses": dict(tally.statuses),
        "wrong_answers": tally.wrong,
        "refusals_without_retry_after": tally.silent_refusals,
        "answer_s": {"median": waits[len(waits) // 2], "slowest": waits[-1]},
        "server_memory_mib": memory(tally.memory),
        "kills": killed,
        "right_after_kills": all(after[name] == alone[0][name] for name in _SAME),
    }


def main() -> int:
    """Print the numbers as JSON; exit with 1 if an answer was wrong or the service failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    numbers = asyncio.run(run(options.url, options.clients, options.seconds, options.kills))
    print(json.dumps(numbers, indent=1))
    failed = any(status >= 500 for status in numbers["statuses"])
    bad = failed or numbers["wrong_answers"] or numbers["refusals_without_retry_after"]
    return 1 if bad or not numbers["right_after_kills"] else 0


if __name__ == "__main__":
    sys.exit(main())
