"""Analyses that can be asked for again: in memory, bounded in number, bytes and age."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ftsdk.errors import AnalysisNotFoundError
from ftsdk.report.credentials import Credentials
from ftsdk.report.edits import Edit
from ftsdk.result import Result

ID_PATTERN = "^[A-Za-z0-9_-]{22}$"


def new_id() -> str:
    """Return an id that nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Analysis:
    """An answer, the file that it is about, and what users made of it.

    Attributes:
        id: 22 characters.
        result: the answer.
        original: the bytes of the file.
        credentials: what the file says of itself.
        edits: every correction that led here, oldest first.
        parent: id of the analysis that this one corrects.
    """

    id: str
    result: Result
    original: bytes
    credentials: Credentials
    edits: tuple[Edit, ...] = ()
    parent: str | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        arrays = (self.result.probabilities, *self.result.image_tensors.values())
        held = self.result.picture.pixels.nbytes + len(self.original)
        return held + sum(array.nbytes for array in arrays)

    def fresh(self) -> Analysis:
        """Return a copy whose full-size mask and heat map will not outlive it."""
        return replace(self, result=replace(self.result))

    def detached(self) -> Analysis:
        """Return a fresh copy that owns its tensors: the runtime's would pin its memory arena."""
        tensors = {name: value.copy() for name, value in self.result.image_tensors.items()}
        return replace(self, result=replace(self.result, image_tensors=tensors))


class AnalysisStore(Protocol):
    """Where analyses are kept."""

    def put(self, analysis: Analysis) -> None:
        """Keep an analysis."""

    def get(self, key: str) -> Analysis:
        """Return an analysis, or raise AnalysisNotFoundError."""

    def delete(self, key: str) -> None:
        """Forget an analysis, or raise AnalysisNotFoundError."""

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""

    def close(self) -> None:
        """Finish writing."""


class MemoryStore:
    """At most `count` analyses of together `nbytes`, none older than `seconds`."""

    def __init__(
        self,
        count: int,
        nbytes: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count, self._limit, self._seconds = count, nbytes, seconds
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Analysis]] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, analysis: Analysis) -> None:
        with self._lock:
            self._kept[analysis.id] = self._clock(), analysis.detached()
            self._nbytes += analysis.nbytes
            self._prune()

    def get(self, key: str) -> Analysis:
        with self._lock:
            self._prune()
            if key not in self._kept:
                raise not_found(key)
            return self._kept[key][1].fresh()

    def delete(self, key: str) -> None:
        with self._lock:
            if key not in self._kept:
                raise not_found(key)
            self._drop(key)

    def prune(self) -> None:
        """Drop what is too old."""
        with self._lock:
            self._prune()

    def close(self) -> None:
        self._kept.clear()

    def _prune(self) -> None:
        oldest = self._clock() - self._seconds
        while self._kept:
            key, (kept_at, _) = next(iter(self._kept.items()))
            too_many = len(self._kept) > self._count or self._nbytes > self._limit
            if not too_many and kept_at > oldest:
                return
            self._drop(key)

    def _drop(self, key: str) -> None:
        _, analysis = self._kept.pop(key)
        self._nbytes -= analysis.nbytes


def not_found(key: str) -> AnalysisNotFoundError:
    """Return the error for an id that is not there (any more)."""
    return AnalysisNotFoundError(
        "no analysis of this id is kept",
        expected="the id of a recent analysis",
        found=key,
        cure="analyse the picture again; with --store DIR analyses are kept for good",
    )
