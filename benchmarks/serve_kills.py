"""Kill ft-serve again and again while it stores and deletes, and hold the store to its answers.

    python benchmarks/serve_kills.py STORE --kills 200

After each kill the service starts on the same store; what it answered before must be true: what was
kept is there with its picture, what was deleted has left no file and no name, and nothing is on the
disk that is not listed. Needs httpx.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
from marked import marked_picture

_OWN = {"index.sqlite3", "index.sqlite3-journal", "lock"}
_CLIENTS = 2
_KEPT = 2
_SECONDS = 300.0  # in which a service starts, and gives a few answers, on a busy machine
_RUN = secrets.token_hex(4)  # a store of an earlier run holds other names


@dataclass
class Truth:
    """What the service has answered so far."""

    kept: dict[str, tuple[str, str]] = field(default_factory=dict)  # id to name and SHA-256
    deleted: dict[str, str] = field(default_factory=dict)  # id to name
    faults: list[str] = field(default_factory=list)
    pictures: int = 0
    answers: int = 0
    unanswered: int = 0


class Client(threading.Thread):
    """Stores and deletes until the service is gone."""

    def __init__(self, url: str, truth: Truth, lock: threading.Lock) -> None:
        super().__init__()
        self._url, self._truth, self._lock = url, truth, lock

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            try:
                while True:
                    self._keep_one(client)
                    self._delete_one(client)
            except httpx.HTTPError:
                self._truth.unanswered += 1

    def _keep_one(self, client: httpx.Client) -> None:
        with self._lock:
            self._truth.pictures += 1
            number = self._truth.pictures
        data = cv2.imencode(".png", marked_picture(number))[1].tobytes()
        name = f"picture-{_RUN}-{number:06}.png"
        octets = {"Content-Type": "application/octet-stream"}
        query = {"name": name, "report": "false"}
        answer = client.post("/v1/analyze", content=data, params=query, headers=octets)
        if answer.status_code == 200:
            digest = hashlib.sha256(data).hexdigest()
            with self._lock:
                self._truth.kept[answer.json()["id"]] = name, digest
                self._truth.answers += 1

    def _delete_one(self, client: httpx.Client) -> None:
        with self._lock:
            if len(self._truth.kept) <= _KEPT:
                return
            key = random.choice(list(self._truth.kept))
            name, _ = self._truth.kept.pop(key)  # whether it is still there is open until answered
        if client.delete(f"/v1/analyses/{key}").status_code == 204:
            with self._lock:
                self._truth.deleted[key] = name
                self._truth.answers += 1


def check(url: str, store: Path, truth: Truth) -> None:
    """Note every answer that is no longer true."""
    with httpx.Client(base_url=url, timeout=30) as client:
        for key, (name, digest) in truth.kept.items():
            answer = client.get(f"/v1/analyses/{key}")
            if answer.status_code != 200 or answer.json()["picture"]["sha256"] != digest:
                truth.faults.append(f"{name} was kept and is lost: {answer.status_code}")
        lines = client.get("/metrics").text.splitlines()
    counted = next(line.split()[-1] for line in lines if line.startswith("ftsdk_kept_analyses "))
    folders = {path.name for path in store.iterdir()} - _OWN
    if float(counted) != len(folders) or any("." in name for name in folders):
        truth.faults.append(f"{counted} are listed of {sorted(folders)}")
    everything = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    for key, name in truth.deleted.items():
        if key in folders or name.encode() in everything:
            truth.faults.append(f"{name} was deleted and is there")


def start(store: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the service, and return it with its address once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from ftsdk.serve.cli import main; main()"]
    arguments = ["--store", str(store), "--port", str(port), "--device", "cpu"]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return process, url
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    found = process.returncode
    process.kill()
    process.wait()
    raise SystemExit(f"the service did not start within {_SECONDS:g} s; exit code {found}")


def kill_once(store: Path, truth: Truth, lock: threading.Lock) -> None:
    """Start the service, hold the store to its answers, and kill it while it answers."""
    process, url = start(store)
    check(url, store, truth)
    clients = [Client(url, truth, lock) for _ in range(_CLIENTS)]
    for client in clients:
        client.start()
    if not answered(truth, truth.answers + random.randint(1, 4), clients):
        truth.faults.append(f"too few answers before it was killed; exit code {process.poll()}")
    time.sleep(random.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    for client in clients:
        client.join()


def answered(truth: Truth, wanted: int, clients: list[Client]) -> bool:
    """Wait until that many answers came; say whether they did, in time and from a live client."""
    deadline = time.monotonic() + _SECONDS
    while truth.answers < wanted:
        if time.monotonic() > deadline or not any(client.is_alive() for client in clients):
            return truth.answers >= wanted
        time.sleep(0.01)
    return True


def main() -> int:
    """Print the numbers as JSON, also when interrupted; exit with 1 if an answer was not true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    truth, lock = Truth(), threading.Lock()
    kills = 0
    try:
        while kills < options.kills:
            kill_once(options.store, truth, lock)
            kills += 1
            print(f"{kills} kills, {len(truth.faults)} faults", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        pass
    process, url = start(options.store)
    check(url, options.store, truth)
    process.terminate()
    process.wait()
    numbers = {
        "kills": kills,
        "pictures_sent": truth.pictures,
        "answers": truth.answers,
        "kept_now": len(truth.kept),
        "deleted": len(truth.deleted),
        "cut_off": truth.unanswered,
        "faults": truth.faults,
    }
    print(json.dumps(numbers, indent=1))
    return 1 if truth.faults else 0


if __name__ == "__main__":
    sys.exit(main())
