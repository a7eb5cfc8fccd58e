# For whoever calls ft-serve from another machine: nothing but Python's own library is needed.
"""Usage: python examples/serve_client.py http://127.0.0.1:8000 face.jpg [TOKEN]"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TRIES = 5


def events(service: str, picture: bytes, token: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kind and data of each event that the service sends."""
    headers = {"Content-Type": "application/octet-stream"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with urlopen(Request(f"{service}/v1/analyze/stream", picture, headers)) as answer:
        kind = ""
        for line in map(bytes.decode, answer):
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)


def main(service: str, picture: str, token: str = "") -> None:
    """Print the report as it is written; come back later when the service is full."""
    for _ in range(TRIES):
        try:
            for kind, data in events(service, Path(picture).read_bytes(), token):
                if kind == "token":
                    print(data["text"], end="", flush=True)
                elif kind == "finished":
                    print(f"\n{data['finding']} ({service}/v1/analyses/{data['id']}/report.html)")
                elif kind == "error":
                    sys.exit(data["error"]["what"])
            return
        except HTTPError as refused:
            wait = refused.headers["Retry-After"]
            if wait is None:  # not a matter of time
                error = json.load(refused)["error"]
                sys.exit(f"{error['what']}; {error['cure']}")
            time.sleep(float(wait))
    sys.exit("the service stayed full")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
