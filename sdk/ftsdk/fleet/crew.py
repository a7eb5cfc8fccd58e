"""The workers of a cluster: as many as each node takes, and new ones where some died."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ftsdk.errors import FleetError, FtsdkError, NodeMismatchError, NodeUnfitError
from ftsdk.fleet.cluster import Cluster, Lost, Node
from ftsdk.fleet.sharing import Need, Share, first_share, shares_of
from ftsdk.fleet.worker import Order, Worker

#: Tasks that a worker works on side by side: one is decoded while the other is looked at.
FLIGHTS = 2
#: Seconds between looks for nodes that came or went.
_LOOKS = 2.0
#: Seconds for which a cluster may be without any node.
_PATIENCE = 60.0
#: Workers of a node that may die in a row before one is ready.
_DEATHS = 3


@dataclass(eq=False)
class Post:
    """A node, and how it is manned.

    Attributes:
        node: which one.
        founding: it was there at the beginning.
        count: how many workers it takes; the first one measures that.
        share: what each of them asks for; None before the node is known to be fit.
        measured: whether the first worker has measured.
        started: how many are there or on their way.
        deaths: how many died in a row before they were ready.
        refused: it is not used.
    """

    node: Node
    founding: bool
    count: int = 1
    share: Share | None = None
    measured: bool = False
    started: int = 0
    deaths: int = 0
    refused: bool = False


@dataclass(eq=False)
class Hand:
    """A worker that can be reached.

    Attributes:
        actor: Ray's handle.
        post: where it is.
        share: what it has.
        flights: how many tasks it was given and has not answered.
        alone: what it was given last is to be its only task.
        pace: seconds that a picture took it lately; None before the first one.
        landed: when it answered last.
    """

    actor: Any
    post: Post
    share: Share
    flights: int = 0
    alone: bool = False
    pace: float | None = None
    landed: float = field(default_factory=time.monotonic)


class Crew:
    """Keeps the nodes of a cluster manned.

    Args:
        cluster: whose.
        order: what every worker is told.
        warn: called with why a node that came later is not used.

    Attributes:
        hands: the workers that are ready.
    """

    def __init__(self, cluster: Cluster, order: Order, warn: Callable[[FtsdkError], None]) -> None:
        self._cluster, self._order, self._warn = cluster, order, warn
        self.hands: list[Hand] = []
        self._posts: dict[str, Post] = {}
        self._looked, self._manned = 0.0, time.monotonic()
        self._refusal: FtsdkError | None = None

    def tend(self) -> None:
        """Look for nodes that came or went, and fill what is empty.

        Raises:
            FleetError: no node is left that can be used.
        """
        now = time.monotonic()
        if now - self._looked < _LOOKS:
            return
        founding, self._looked = not self._looked, now
        there = {node.id: node for node in self._cluster.nodes()}
        self._posts = {key: post for key, post in self._posts.items() if key in there}
        for key in there.keys() - self._posts.keys():
            post = self._posts[key] = Post(there[key], founding)
            self._cluster.when(self._cluster.census(post.node), partial(self._counted, post))
        for post in self._posts.values():
            self._fill(post)
        self._require_some(now)

    def lost(self, hand: Hand) -> None:
        """Give up a worker; another one takes its place."""
        if hand in self.hands:
            self.hands.remove(hand)
            self._dismiss(hand)

    def _require_some(self, now: float) -> None:
        usable = [post for post in self._posts.values() if not post.refused]
        if usable:
            self._manned = now
        elif self._refusal and self._posts:
            raise self._refusal
        elif now - self._manned > _PATIENCE:
            raise FleetError(
                "no machine of the cluster is left",
                expected="a node with a CPU to lend",
                found=f"none for {_PATIENCE:g} s",
                cure="start nodes with `ray start --address=...`, then run ft-batch again: it goes "
                "on where it was",
            )

    def _counted(self, post: Post, version: str | Lost) -> None:
        if isinstance(version, Lost):
            self._posts.pop(post.node.id, None)  # looked at again, if it is still there
        elif version != self._order.version:
            self._refuse(
                post,
                NodeMismatchError(
                    f"the node {post.node.name} has another ftsdk",
                    expected=f"ftsdk {self._order.version}, as where ft-batch was started",
                    found=f"ftsdk {version}",
                    cure="install the same ftsdk on every node",
                ),
            )
        elif self._order.device == "cuda" and not post.node.room.gpus:
            self._refuse(post, _unfit(post, "a GPU, as --device asks for", "none"))
        else:
            post.share = first_share(post.node.room, self._order.device != "cpu")
            self._fill(post)

    def _fill(self, post: Post) -> None:
        while post.share and post.started < post.count and not post.refused:
            self._start(post, post.share)

    def _start(self, post: Post, share: Share) -> None:
        asked = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_concurrency": FLIGHTS}
        actor = self._cluster.ray.remote(Worker).options(**asked, **self._cluster.on(post.node))
        hand = Hand(actor.remote(self._order, share.threads), post, share)
        post.started += 1
        self._cluster.when(hand.actor.start.remote(), partial(self._started, hand))

    def _started(self, hand: Hand, need: Need | FtsdkError | Lost) -> None:
        post = hand.post
        if isinstance(need, Need):
            post.deaths = 0
            self._man(hand, need)
            return
        self._dismiss(hand)
        if isinstance(need, FtsdkError):
            self._refuse(post, need.about(f"node {post.node.name}"))
            return
        post.deaths += 1
        if post.deaths >= _DEATHS:
            self._refuse(post, _unfit(post, "a worker that starts", need.why))

    def _man(self, hand: Hand, need: Need) -> None:
        post = hand.post
        if not post.measured:
            post.count, post.share = shares_of(post.node.room, need)
            post.measured = True
        if not post.count:
            self._dismiss(hand)
            found = f"{post.node.room.memory >> 20} MiB"
            self._refuse(post, _unfit(post, f"{need.memory >> 20} MiB for a worker", found))
            return
        if hand.share == post.share:
            self.hands.append(hand)
        else:
            self._dismiss(hand)
        self._fill(post)

    def _dismiss(self, hand: Hand) -> None:
        hand.post.started -= 1
        self._cluster.ray.kill(hand.actor)

    def _refuse(self, post: Post, error: FtsdkError) -> None:
        """Use a node no more; one that was there from the beginning has to be mended first."""
        post.refused, self._refusal = True, error
        if post.founding and not isinstance(error, NodeUnfitError):
            raise error
        self._warn(error)


def _unfit(post: Post, expected: str, found: str) -> NodeUnfitError:
    return NodeUnfitError(
        f"the node {post.node.name} cannot be used",
        expected=expected,
        found=found,
        cure="give it what is missing; the others go on without it",
    )
