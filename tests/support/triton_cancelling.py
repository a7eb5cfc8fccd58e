"""Cancels requests to Triton over gRPC, in its environment: `python FILE ADDRESS ENDLESS FACE`.

Four requests with the picture ENDLESS hold every thread of the model's instance, and would for
good; a fifth with FACE waits for them. Prints what became of the five, as JSON.

The client's package asks for an older protobuf than what reads T5's tokenizer does, so that the two
do not share an environment; it runs with the newer one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
import tritonclient.grpc as grpc

Ended = Queue[tuple[Any, Any]]


def ask(client: Any, content: bytes, ended: Ended) -> Any:
    """Send a picture to the model `endless`; what comes of it goes into `ended`."""
    picture = grpc.InferInput("picture", [1, 1], "BYTES")
    picture.set_data_from_numpy(np.array([[content]], np.object_))
    return client.async_infer(
        "endless", [picture], lambda result, error: ended.put((result, error))
    )


def main(address: str, endless: str, face: str) -> None:
    """Ask, cancel and print."""
    ended: Ended = Queue()
    with grpc.InferenceServerClient(address) as client:
        calls = [ask(client, Path(endless).read_bytes(), ended) for _ in range(4)]
        ask(client, Path(face).read_bytes(), ended)
        try:
            early: Any = str(ended.get(timeout=1.5))
        except Empty:
            early = None
        for call in calls:
            call.cancel()
        came = [ended.get(timeout=60) for _ in range(5)]
    answers = [json.loads(found.as_numpy("answer")[0, 0]) for found, error in came if not error]
    statuses = [str(error.status()) for _, error in came if error]
    print(json.dumps({"early": early, "statuses": statuses, "answers": answers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
