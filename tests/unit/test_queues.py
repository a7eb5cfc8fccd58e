"""Bounded queues between threads: nothing is lost in silence."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.errors import OptionError
from ftsdk.streaming.queues import BoundedQueue, Policy, check_policy

DROPPING: tuple[Policy, ...] = ("drop oldest", "drop newest", "newest only")


def expected(policy: Policy, capacity: int, steps: list[bool]) -> tuple[list[int], list[int], int]:
    """Return what a list would have given out and kept, and how many it dropped."""
    kept: list[int] = []
    taken: list[int] = []
    dropped = count = 0
    for put in steps:
        if not put:
            taken += kept[:1]
            kept = kept[1:]
            continue
        kept.append(count)
        count += 1
        if len(kept) > (1 if policy == "newest only" else capacity):
            kept.pop(-1 if policy == "drop newest" else 0)
            dropped += 1
    return taken, kept, dropped


@given(
    policy=st.sampled_from(DROPPING),
    capacity=st.integers(1, 4),
    steps=st.lists(st.booleans(), max_size=40),
)
def test_a_full_queue_does_what_its_policy_says(
    policy: Policy, capacity: int, steps: list[bool]
) -> None:
    queue = BoundedQueue[int](capacity, policy)
    taken, count = [], 0
    for put in steps:
        if put:
            queue.put(count)
            count += 1
        elif (item := queue.take(timeout=0)) is not None:
            taken.append(item)
        assert len(queue) <= capacity
    queue.finish()
    assert (taken, list(queue), queue.dropped) == expected(policy, capacity, steps)


def test_every_item_arrives_in_order_where_the_writer_waits() -> None:
    queue = BoundedQueue[int](2)
    longest = 0

    def write() -> None:
        for number in range(200):
            queue.put(number)
        queue.finish()

    writer = threading.Thread(target=write)
    writer.start()
    taken = []
    for number in queue:
        longest = max(longest, len(queue))
        taken.append(number)
    writer.join(timeout=10)
    assert taken == list(range(200))
    assert longest <= 2
    assert queue.dropped == 0


@pytest.mark.parametrize("blocked", ["put", "take", "room"])
def test_an_aborted_queue_lets_everybody_go(blocked: str) -> None:
    queue = BoundedQueue[int](1)
    if blocked != "take":
        queue.put(1)
    work = {"put": lambda: queue.put(2), "take": queue.take, "room": queue.room}[blocked]
    thread = threading.Thread(target=work)
    thread.start()
    queue.abort()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert queue.ended
    assert queue.take() is None


def test_nothing_is_put_after_the_end() -> None:
    queue = BoundedQueue[int](3, "drop oldest")
    queue.put(1)
    queue.finish()
    queue.put(2)
    assert list(queue) == [1]
    assert queue.dropped == 0


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="newest only"):
        check_policy("drop all")
