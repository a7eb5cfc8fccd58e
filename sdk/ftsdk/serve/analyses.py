"""Analyses that can be asked for again: in memory, bounded in number, bytes and age."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import AnalysisNotFoundError
from ftsdk.report.credentials import Credentials
from ftsdk.report.edits import Edit, now
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
    def faces(self) -> tuple[Result, ...]:
        """The answers to all faces, the most suspicious first."""
        return self.result, *self.result.others

    @property
    def buffers(self) -> dict[int, int]:
        """Bytes of everything large that it holds, by identity: corrections share most of it."""
        held: list[bytes | NDArray[Any]] = [self.original]
        for face in self.faces:
            held += (face.picture.pixels, face.probabilities, *face.image_tensors.values())
        return {id(one): one.nbytes if isinstance(one, np.ndarray) else len(one) for one in held}

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return sum(self.buffers.values())

    def fresh(self) -> Analysis:
        """Return a copy whose full-size mask and heat map will not outlive it."""
        return replace(self, result=_without_cached(self.result))

    def detached(self, known: Container[int]) -> Analysis:
        """Return a copy that owns its arrays: the runtime's would pin its memory arena.

        Args:
            known: identities of arrays that are owned already.
        """

        def own(array: NDArray[Any]) -> NDArray[Any]:
            return array if id(array) in known else array.copy()

        def owner(face: Result) -> Result:
            return replace(
                face,
                probabilities=own(face.probabilities),
                image_tensors={name: own(value) for name, value in face.image_tensors.items()},
            )

        others = tuple(map(owner, self.result.others))
        return replace(self, result=replace(owner(self.result), others=others))


def _without_cached(result: Result) -> Result:
    return replace(result, others=tuple(replace(other) for other in result.others))


def analysis_of(
    result: Result, original: bytes, credentials: Credentials, regions: Sequence[str] | None
) -> Analysis:
    """Return the analysis of a file that nobody has corrected.

    Args:
        result: the answer.
        original: the bytes of the file.
        credentials: what the file says of itself.
        regions: those that a user named in place of the model's.
    """
    edits = () if regions is None else (Edit(now(), None, tuple(regions), mask=False),)
    return Analysis(new_id(), result, original, credentials, edits)


class AnalysisStore(Protocol):
    """Where analyses are kept."""

    def require_room(self, nbytes: int = 1) -> None:
        """Raise StoreFullError where so many bytes more cannot be kept, before they are made."""

    def put(self, analysis: Analysis) -> None:
        """Keep an analysis."""

    def get(self, key: str) -> Analysis:
        """Return an analysis, or raise AnalysisNotFoundError."""

    def delete(self, key: str) -> None:
        """Forget an analysis, or raise AnalysisNotFoundError."""

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Bytes that are held; read without waiting for whoever writes."""

    @property
    def most(self) -> int:
        """Bytes that may be held."""

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
        self._count, self.most, self._seconds = count, nbytes, seconds
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Analysis]] = OrderedDict()
        self._holders: Counter[int] = Counter()
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __len__(self) -> int:
        return len(self._kept)

    def require_room(self, nbytes: int = 1) -> None:
        """Do nothing: the oldest make room."""

    def put(self, analysis: Analysis) -> None:
        with self._lock:
            kept = analysis.detached(self._holders)
            self._kept[kept.id] = self._clock(), kept
            for buffer, nbytes in kept.buffers.items():
                self._nbytes += 0 if self._holders[buffer] else nbytes
                self._holders[buffer] += 1
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
        with self._lock:
            while self._kept:
                self._drop(next(iter(self._kept)))

    def _prune(self) -> None:
        oldest = self._clock() - self._seconds
        while self._kept:
            key, (kept_at, _) = next(iter(self._kept.items()))
            too_many = len(self._kept) > self._count or self._nbytes > self.most
            if not too_many and kept_at > oldest:
                return
            self._drop(key)

    def _drop(self, key: str) -> None:
        _, analysis = self._kept.pop(key)
        for buffer, nbytes in analysis.buffers.items():
            self._holders[buffer] -= 1
            if not self._holders[buffer]:
                del self._holders[buffer]
                self._nbytes -= nbytes


def not_found(key: str) -> AnalysisNotFoundError:
    """Return the error for an id that is not there (any more)."""
    return AnalysisNotFoundError(
        "no analysis of this id is kept",
        expected="the id of a recent analysis",
        found=key,
        cure="analyse the picture again; with --store DIR analyses are kept for good",
    )
