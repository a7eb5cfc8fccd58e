"""A Ray cluster: joined with a typed error if it does not answer, and its nodes."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ftsdk.errors import (
    ClusterUnreachableError,
    FtsdkError,
    InstallationError,
    NodeMismatchError,
    OptionError,
)
from ftsdk.fleet import probe
from ftsdk.fleet.allocation import Capacity

_CONNECT_SECONDS = 5.0
_HOST_PORT = re.compile(r"\[?([^\s/]+?)\]?:(\d{1,5})")
#: What a cluster of this machine alone sets aside for rows on their way, bytes.
_STORE = 128 << 20


@dataclass(frozen=True)
class Node:
    """A machine of a cluster.

    Attributes:
        id: Ray's own.
        name: for people.
        capacity: what it has.
    """

    id: str
    name: str
    capacity: Capacity


@dataclass(frozen=True)
class Lost:
    """What comes in an answer's place when its worker or node is gone; `why` in one line."""

    why: str


class Cluster:
    """A cluster that this process has joined, and what it awaits of it.

    Attributes:
        ray: the library.
        terminated: SIGTERM came.
    """

    def __init__(self, ray: Any) -> None:
        self.ray, self.terminated = ray, False
        self._pending: dict[Any, Callable[[Any], None]] = {}
        ray.cloudpickle.register_pickle_by_value(probe)

    def nodes(self) -> list[Node]:
        """Return the machines that are there and have a CPU to lend."""
        return [
            Node(node["NodeID"], node["NodeManagerAddress"], _capacity(node["Resources"]))
            for node in self.ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU")
        ]

    def on(self, node: Node) -> dict[str, Any]:
        """Return the options by which something runs on a node and nowhere else."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}

    def probe(self, node: Node) -> Any:
        """Ask a node for its ftsdk, whatever that is; return a reference to the answer."""
        return self.ray.remote(probe.installed).options(num_cpus=0, **self.on(node)).remote()

    def when(self, reference: Any, then: Callable[[Any], None]) -> None:
        """Call `then` with what a reference comes to, or with Lost."""
        self._pending[reference] = then

    def wait(self, seconds: float) -> None:
        """Wait until something that is awaited has come, and do what is to be done then.

        Raises:
            FtsdkError: what a worker raised.
        """
        if not self._pending:
            threading.Event().wait(seconds)
            return
        try:
            come, _ = self.ray.wait([*self._pending], timeout=seconds, fetch_local=True)
        except (KeyboardInterrupt, SystemExit):
            if self.terminated:  # Ray makes its own of whatever a signal's handler raises
                raise SystemExit(128 + signal.SIGTERM) from None
            raise
        for reference in come:
            self._pending.pop(reference)(self._outcome(reference))

    def _outcome(self, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, FtsdkError) else error) from None
        except self.ray.exceptions.RayError as error:
            return Lost(" ".join(str(error).split())[:400])


def _capacity(resources: dict[str, float]) -> Capacity:
    return Capacity(resources["CPU"], int(resources.get("memory", 0)), resources.get("GPU", 0.0))


@contextmanager
def joined(address: str) -> Iterator[Cluster]:
    """Join a cluster, and leave it in the end; what runs there for this process ends with it.

    Args:
        address: `HOST:PORT`, `auto` (the one that RAY_ADDRESS names, or that runs here), or `local`
            (one of this machine alone, which is started for this process).

    Raises:
        OptionError: it is none of these.
        ClusterUnreachableError: none answers there.
        NodeMismatchError: it has another Ray or Python.
        InstallationError: Ray is not installed.
    """
    ray = _ray()
    chosen = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    _check(chosen)
    with _own_signals():
        _init(ray, chosen)
    cluster = Cluster(ray)
    try:
        with _noting_termination(cluster):
            yield cluster
    finally:
        ray.shutdown()


def _ray() -> Any:
    # Ray prints what dies to standard output, where rows may go; read while it is imported.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError as error:
        raise InstallationError(
            "many machines need Ray",
            expected="ray",
            found=str(error),
            cure='pip install "ftsdk[ray]"',
        ) from error
    return ray


def _check(address: str) -> None:
    """Ray waits for minutes for what does not answer, and then ends the process."""
    if address in ("auto", "local"):
        return
    found = _HOST_PORT.fullmatch(address)
    if not found:
        raise OptionError(
            f"{address} is no address of a cluster",
            expected="HOST:PORT, auto, or local",
            found="Ray Client's, for notebooks" if "ray://" in address else repr(address),
            cure="pass the address that `ray start --head` printed, on a machine of the cluster",
        )
    try:
        socket.create_connection((found[1], int(found[2])), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _init(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        quiet |= {"include_dashboard": False, "object_store_memory": _STORE}
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, SystemExit) as error:
        raise _unreachable(address, str(error)) from error
    except RuntimeError as error:
        if "ersion" not in str(error):
            raise
        raise NodeMismatchError(
            f"the cluster at {address} has another Ray or Python",
            expected="the same versions everywhere",
            found=str(error),
            cure="install what the cluster has, here or there",
        ) from error


def _unreachable(address: str, found: str) -> ClusterUnreachableError:
    return ClusterUnreachableError(
        f"no Ray cluster answers at {address}",
        expected="the address of a cluster's head",
        found=found,
        cure="start one with `ray start --head`, check the address and the firewall, or pass "
        "--ray local for this machine alone",
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what SIGTERM does, which Ray sets for itself."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _noting_termination(cluster: Cluster) -> Iterator[None]:
    """Let a cluster know of SIGTERM, beside what the program does then."""
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def note(number: int, frame: FrameType | None) -> Any:
        cluster.terminated = True
        return before(number, frame)

    signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
