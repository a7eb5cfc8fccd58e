"""Memory that goes from one process to another, and what is refused of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest

if sys.platform != "linux":
    pytest.skip("sealed memory is Linux's", allow_module_level=True)

from ftsdk.imaging.sealed import mapped, sealed

_SHAPE = (30, 40, 3)
_PIXELS = np.arange(3600, dtype=np.uint32).astype(np.uint8).reshape(_SHAPE)


@pytest.fixture
def descriptor() -> Iterator[int]:
    held = sealed(_PIXELS)
    yield held
    os.close(held)


def test_pixels_arrive_and_stay(descriptor: int) -> None:
    found = mapped(descriptor, _SHAPE)
    np.testing.assert_array_equal(found, _PIXELS)
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.flags.writeable = True
    with pytest.raises(PermissionError):
        os.write(descriptor, b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 10)


def test_many_arrays_hold_no_descriptor_and_give_their_memory_back() -> None:
    process, large = psutil.Process(), np.zeros((1000, 1000, 3), np.uint8)

    def one() -> np.ndarray:
        descriptor = sealed(large)
        try:
            return mapped(descriptor, large.shape)
        finally:
            os.close(descriptor)

    kept = [one()]
    before = process.num_fds()
    kept += [one() for _ in range(40)]
    assert process.num_fds() == before
    full = process.memory_info().rss
    del kept
    assert full - process.memory_info().rss > 100_000_000


def _unsealed() -> int:
    descriptor = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    os.write(descriptor, bytes(3600))
    return descriptor


def _file() -> int:
    return os.open(__file__, os.O_RDONLY)


@pytest.mark.parametrize(
    ("make", "shape", "error"),
    [
        (_unsealed, _SHAPE, ValueError),
        (lambda: sealed(_PIXELS), (30, 41, 3), ValueError),
        (lambda: sealed(_PIXELS), (30, 39, 3), ValueError),
        (lambda: sealed(b""), (0, 40, 3), OSError),
        (_file, _SHAPE, OSError),
        (lambda: os.pipe()[0], _SHAPE, OSError),
    ],
)
def test_what_could_change_or_does_not_fit_is_refused(
    make: Callable[[], int], shape: tuple[int, ...], error: type[Exception]
) -> None:
    descriptor = make()
    with pytest.raises(error):
        mapped(descriptor, shape)
    os.close(descriptor)
