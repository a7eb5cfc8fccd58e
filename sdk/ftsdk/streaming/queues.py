"""A bounded queue between two threads, and what it does when it is full."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, Literal, TypeVar, get_args

from ftsdk.errors import OptionError

T = TypeVar("T")

#: What happens to a frame that arrives while the queue is full: it waits, the oldest waiting one
#: makes room, or it is dropped; `newest only` keeps one place, for the latest.
Policy = Literal["wait", "drop oldest", "drop newest", "newest only"]
# Longest sleep in s between two looks at the end of the queue; a notification comes first.
_TICK = 1.0


def check_policy(policy: str) -> None:
    """Raise OptionError if there is no policy of this name."""
    if policy not in get_args(Policy):
        raise OptionError(
            f"'{policy}' is no policy for frames that come too fast",
            expected=", ".join(f'"{name}"' for name in get_args(Policy)),
            found=repr(policy),
            cure='pass policy="newest only" for a camera, "wait" for files',
        )


class BoundedQueue(Generic[T]):
    """At most `capacity` items, in order of arrival.

    Every item that is put is taken, dropped (and counted), or discarded by `abort`.
    """

    def __init__(self, capacity: int, policy: Policy = "wait") -> None:
        self._policy = policy
        self._capacity = 1 if policy == "newest only" else capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self.dropped = 0

    def put(self, item: T) -> None:
        """Add an item as the policy says; nothing after the queue's end."""
        with self._changed:
            if self._policy == "wait":
                self._wait_for_room()
            if self._finished:
                return
            full = len(self._items) >= self._capacity
            if full:
                self.dropped += 1
            if full and self._policy == "drop newest":
                return
            if full:
                self._items.popleft()
            self._items.append(item)
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> T | None:
        """Return the oldest item, or None at the end of the queue or after `timeout` seconds."""
        with self._changed:
            wait = _TICK if timeout is None else timeout
            while not self._items and not self._finished:
                if not self._changed.wait(wait) and timeout is not None:
                    return None
            item = self._items.popleft() if self._items else None
            self._changed.notify_all()
            return item

    def room(self) -> None:
        """Wait until an item could be put, so that its work need not begin earlier."""
        with self._changed:
            self._wait_for_room()

    def finish(self) -> None:
        """Say that nothing more will be put; what is there can still be taken."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def abort(self) -> None:
        """End the queue at once and discard what is in it."""
        with self._changed:
            self._finished = True
            self._items.clear()
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether nothing can be taken any more."""
        with self._changed:
            return self._finished and not self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        while (item := self.take()) is not None:
            yield item

    def _wait_for_room(self) -> None:
        while len(self._items) >= self._capacity and not self._finished:
            self._changed.wait(_TICK)
