"""What a process of its own for decoding costs a picture on its way through ft-serve.

    python benchmarks/decoding_apart.py --pairs 40

Two services answer the same pictures by turns: ft-serve as it is, and one that decodes in its own
process. A ratio is of one pair's seconds, or of all processor time, the decoders' included.
Everything stays on loopback. Needs httpx.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from attacked import BEARER, Service

_TOGETHER = """
import ftsdk.serve.service as service
from ftsdk.analyzer import Analyzer
service.Analyzer = lambda *given, isolate_decoding, **named: Analyzer(*given, **named)
"""
_PORTRAIT = Path(__file__).parents[1] / "examples" / "pictures" / "portrait.jpg"


def pictures() -> Iterator[tuple[str, bytes]]:
    """Yield JPEG files of a face in pictures of several sizes."""
    portrait = cv2.imdecode(np.fromfile(_PORTRAIT, np.uint8), cv2.IMREAD_COLOR)
    assert portrait is not None
    yield "512 x 512", _PORTRAIT.read_bytes()
    noise = np.random.default_rng(1).integers(0, 24, (3000, 4000, 3), np.uint8)
    for height, width in ((1200, 1600), (3000, 4000)):
        picture = noise[:height, :width].copy()
        side = min(height, width) * 3 // 4
        face = cv2.resize(portrait, (side, side))
        picture[:side, :side] = cv2.addWeighted(face, 0.5, picture[:side, :side], 1, 50)
        yield f"{width} x {height}", cv2.imencode(".jpg", picture)[1].tobytes()


def pair(services: list[Service], client: httpx.Client, data: bytes, turn: int) -> list[float]:
    """Return the seconds that each service takes for a picture that neither knows."""
    took = [0.0, 0.0]
    for index in (0, 1) if turn % 2 else (1, 0):
        start = time.perf_counter()
        url = f"{services[index].url}/v1/analyze"
        answer = client.post(url, content=data + b"%d" % turn, headers=BEARER)
        took[index] = time.perf_counter() - start
        assert answer.status_code == 200, answer.text
    return took


def compared(services: list[Service], data: bytes, pairs: int) -> dict[str, Any]:
    """Return how long the first service takes, and what the second takes in proportion to it."""
    with httpx.Client(timeout=120) as client:
        for number in range(4):
            pair(services, client, data + b"warm", number)
        before = [service.processor_seconds() for service in services]
        waits = [pair(services, client, data, number) for number in range(pairs)]
        spent = [
            (service.processor_seconds() - start) / pairs
            for service, start in zip(services, before, strict=True)
        ]
    here, _ = zip(*waits, strict=True)
    return {
        "together_s": round(statistics.median(here), 3),
        "together_least_s": round(min(here), 3),
        "apart_to_together": round(statistics.median(b / a for a, b in waits), 3),
        "apart_to_together_least": round(min(b for _, b in waits) / min(here), 3),
        "together_processor_s": round(spent[0], 3),
        "apart_to_together_processor": round(spent[1] / spent[0], 3),
    }


def main() -> None:
    """Print the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=40)
    pairs = parser.parse_args().pairs
    with ExitStack() as stack:
        services = []
        for before in (_TOGETHER, ""):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            services.append(Service(folder, "--device", "cpu", before=before))
            stack.callback(services[-1].stop)
        numbers = {name: compared(services, data, pairs) for name, data in pictures()}
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
