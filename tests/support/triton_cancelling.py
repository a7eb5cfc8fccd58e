"""Cancels requests to Triton over gRPC, in its environment: `python FILE ADDRESS ENDLESS FACE`.

Four requests with the picture ENDLESS hold every thread of the model's instance, and would for
good; a fifth with FACE waits for them. Prints what became of each, as JSON: the class of its error,
or its answer, and which had come before the four were cancelled.

The client's package asks for an older protobuf than what reads T5's tokenizer does, so that the two
do not share an environment; it runs with the newer one.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpc

_ENDLESS, _FACE = [f"endless {number}" for number in range(4)], "face"
_HELD_SECONDS, _LAST_SECONDS = 1.0, 60.0


class Asking:
    """Requests to the model `endless` by name, and what came of them.

    Args:
        client: Triton's, over gRPC.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.came: dict[str, Any] = {}

    def ask(self, name: str, content: bytes) -> Any:
        """Send a picture, and return what cancels it."""
        picture = grpc.InferInput("picture", [1, 1], "BYTES")
        picture.set_data_from_numpy(np.array([[content]], np.object_))

        def ended(result: Any, error: Any) -> None:
            said = str(error.status()) if error else json.loads(result.as_numpy("answer")[0, 0])
            self.came[name] = said

        return self._client.async_infer("endless", [picture], ended)


def main(address: str, endless: str, face: str) -> None:
    """Ask, cancel and print."""
    with grpc.InferenceServerClient(address) as client:
        asking = Asking(client)
        calls = [asking.ask(name, Path(endless).read_bytes()) for name in _ENDLESS]
        time.sleep(_HELD_SECONDS)  # one that overtook them would be answered at once
        asking.ask(_FACE, Path(face).read_bytes())
        time.sleep(_HELD_SECONDS)
        early = sorted(asking.came)
        for call in calls:
            call.cancel()
        deadline = time.monotonic() + _LAST_SECONDS
        while len(asking.came) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        print(json.dumps({"early": early, "came": dict(asking.came)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
