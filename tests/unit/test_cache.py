"""The cache of what was made of earlier pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.cache import PictureCache
from ftsdk.errors import OptionError


def tensors(size: int) -> dict[str, np.ndarray]:
    return {"a": np.zeros(size, np.uint8)}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60))), st.integers(0, 100))
def test_it_never_holds_more_than_it_may(uses: list[tuple[int, int]], limit: int) -> None:
    cache = PictureCache(limit)
    for key, size in uses:
        cache.get_or_make((key, size), lambda size=size: tensors(size))
        assert 0 <= cache.used_bytes <= limit


def test_the_least_recently_used_goes_first() -> None:
    cache, made = PictureCache(20), []

    def ask(key: str) -> None:
        cache.get_or_make(key, lambda: made.append(key) or tensors(10))

    for key in ("one", "two", "one", "three", "one", "two"):
        ask(key)
    assert made == ["one", "two", "three", "two"]


def test_zero_keeps_nothing_and_less_is_refused() -> None:
    cache = PictureCache(0)
    first, second = (cache.get_or_make("a", lambda: tensors(1)) for _ in range(2))
    assert first is not second
    with pytest.raises(OptionError):
        PictureCache(-1)


def test_what_failed_is_not_kept() -> None:
    cache = PictureCache(10)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_make("a", lambda: {"a": np.zeros(1 // 0)})
    assert cache.get_or_make("a", lambda: tensors(1))["a"].size == 1
