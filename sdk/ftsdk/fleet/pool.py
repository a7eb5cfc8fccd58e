"""The worker pool of a cluster: as many as each node takes, and new ones where some died."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ftsdk.errors import FleetError, FtsdkError, NodeMismatchError, NodeUnfitError
from ftsdk.fleet.allocation import Allocation, Usage, allocate, first_allocation
from ftsdk.fleet.cluster import Cluster, Lost, Node
from ftsdk.fleet.worker import Worker, WorkerConfig

#: Tasks that a worker works on side by side: one is decoded while the other is looked at.
MAX_IN_FLIGHT = 2
#: Seconds between looks for nodes that joined or left.
_REFRESH_SECONDS = 2.0
#: Seconds for which a cluster may be without any node.
_NODE_TIMEOUT = 60.0
#: Workers of a node that may die in a row before one is ready.
_MAX_FAILED_STARTS = 3


@dataclass(eq=False)
class NodeState:
    """A node, and the state of its workers.

    Attributes:
        node: which one.
        initial: it was there at the start.
        slots: how many workers it takes; the first one measures that.
        allocation: what each of them asks for; None before the node is known to be fit.
        measured: whether the first worker has measured.
        workers: how many are ready or starting.
        failed_starts: how many died in a row before they were ready.
        refused: it is not used.
    """

    node: Node
    initial: bool
    slots: int = 1
    allocation: Allocation | None = None
    measured: bool = False
    workers: int = 0
    failed_starts: int = 0
    refused: bool = False


@dataclass(eq=False)
class WorkerHandle:
    """A worker, as this process reaches it.

    Attributes:
        actor: Ray's handle.
        node_state: of the node where it is.
        allocation: what it has.
        in_flight: how many tasks it was given and has not answered.
        alone: the task that it was given last is to be its only one.
        seconds_per_picture: what a picture took it lately; None before the first one.
        last_answer: when it answered last.
    """

    actor: Any
    node_state: NodeState
    allocation: Allocation
    in_flight: int = 0
    alone: bool = False
    seconds_per_picture: float | None = None
    last_answer: float = field(default_factory=time.monotonic)


class WorkerPool:
    """Keeps workers on the nodes of a cluster.

    Args:
        cluster: whose.
        config: what every worker is told.
        warn: called with why a node that joined later is not used.

    Attributes:
        workers: those that are ready.
    """

    def __init__(
        self, cluster: Cluster, config: WorkerConfig, warn: Callable[[FtsdkError], None]
    ) -> None:
        self._cluster, self._config, self._warn = cluster, config, warn
        self.workers: list[WorkerHandle] = []
        self._nodes: dict[str, NodeState] = {}
        self._last_refresh, self._last_usable = 0.0, time.monotonic()
        self._last_refusal: FtsdkError | None = None

    def refresh(self) -> None:
        """Look for nodes that joined or left, and start the workers that are missing.

        Raises:
            FleetError: no node is left that can be used.
        """
        now = time.monotonic()
        if now - self._last_refresh < _REFRESH_SECONDS:
            return
        initial, self._last_refresh = not self._last_refresh, now
        there = {node.id: node for node in self._cluster.nodes()}
        self._nodes = {key: state for key, state in self._nodes.items() if key in there}
        for key in there.keys() - self._nodes.keys():
            state = self._nodes[key] = NodeState(there[key], initial)
            self._cluster.when(self._cluster.probe(state.node), partial(self._probed, state))
        for state in self._nodes.values():
            self._start_missing(state)
        self._require_usable(now)

    def lost(self, worker: WorkerHandle) -> None:
        """Give up a worker; another one takes its place."""
        if worker in self.workers:
            self.workers.remove(worker)
            self._stop(worker)

    def _require_usable(self, now: float) -> None:
        usable = [state for state in self._nodes.values() if not state.refused]
        if usable:
            self._last_usable = now
        elif self._last_refusal and self._nodes:
            raise self._last_refusal
        elif now - self._last_usable > _NODE_TIMEOUT:
            raise FleetError(
                "no machine of the cluster is left",
                expected="a node with a CPU to lend",
                found=f"none for {_NODE_TIMEOUT:g} s",
                cure="start nodes with `ray start --address=...`, then run ft-batch again: it goes "
                "on where it was",
            )

    def _probed(self, state: NodeState, version: str | Lost) -> None:
        if isinstance(version, Lost):
            self._nodes.pop(state.node.id, None)  # probed again, if it is still there
        elif version != self._config.version:
            self._refuse(
                state,
                NodeMismatchError(
                    f"the node {state.node.name} has another ftsdk",
                    expected=f"ftsdk {self._config.version}, as where ft-batch was started",
                    found=f"ftsdk {version}",
                    cure="install the same ftsdk on every node",
                ),
            )
        elif self._config.device == "cuda" and not state.node.capacity.gpus:
            self._refuse(state, _unfit(state, "a GPU, as --device asks for", "none"))
        else:
            state.allocation = first_allocation(state.node.capacity, self._config.device != "cpu")
            self._start_missing(state)

    def _start_missing(self, state: NodeState) -> None:
        while state.allocation and state.workers < state.slots and not state.refused:
            self._start(state, state.allocation)

    def _start(self, state: NodeState, allocation: Allocation) -> None:
        asked = {
            "num_cpus": allocation.cpus,
            "num_gpus": allocation.gpus,
            "max_concurrency": MAX_IN_FLIGHT,
        }
        actor = self._cluster.ray.remote(Worker).options(**asked, **self._cluster.on(state.node))
        handle = actor.remote(self._config, allocation.threads)
        worker = WorkerHandle(handle, state, allocation)
        state.workers += 1
        self._cluster.when(handle.start.remote(), partial(self._started, worker))

    def _started(self, worker: WorkerHandle, usage: Usage | FtsdkError | Lost) -> None:
        state = worker.node_state
        if isinstance(usage, Usage):
            state.failed_starts = 0
            self._add(worker, usage)
            return
        self._stop(worker)
        if isinstance(usage, FtsdkError):
            self._refuse(state, usage.about(f"node {state.node.name}"))
            return
        state.failed_starts += 1
        if state.failed_starts >= _MAX_FAILED_STARTS:
            self._refuse(state, _unfit(state, "a worker that starts", usage.why))

    def _add(self, worker: WorkerHandle, usage: Usage) -> None:
        state = worker.node_state
        if not state.measured:
            state.slots, state.allocation = allocate(state.node.capacity, usage)
            state.measured = True
        if not state.slots:
            self._stop(worker)
            found = f"{state.node.capacity.memory >> 20} MiB"
            self._refuse(state, _unfit(state, f"{usage.memory >> 20} MiB for a worker", found))
            return
        if worker.allocation == state.allocation:
            self.workers.append(worker)
        else:
            self._stop(worker)
        self._start_missing(state)

    def _stop(self, worker: WorkerHandle) -> None:
        worker.node_state.workers -= 1
        self._cluster.ray.kill(worker.actor)

    def _refuse(self, state: NodeState, error: FtsdkError) -> None:
        """Use a node no more; one that was there from the start has to be mended first."""
        state.refused, self._last_refusal = True, error
        if state.initial and not isinstance(error, NodeUnfitError):
            raise error
        self._warn(error)


def _unfit(state: NodeState, expected: str, found: str) -> NodeUnfitError:
    return NodeUnfitError(
        f"the node {state.node.name} cannot be used",
        expected=expected,
        found=found,
        cure="give it what is missing; the others go on without it",
    )
