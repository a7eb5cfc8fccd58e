"""The files of a listing through the workers of a cluster: each has a row, and none has two."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from ftsdk.batch import rows
from ftsdk.batch.rows import Row
from ftsdk.batch.sources import Entry, Listing
from ftsdk.bundle import open_bundle
from ftsdk.errors import FtsdkError, OptionError, WorkerLostError
from ftsdk.fleet.cluster import Lost, joined
from ftsdk.fleet.pool import MAX_IN_FLIGHT, WorkerHandle, WorkerPool
from ftsdk.fleet.worker import WorkerConfig
from ftsdk.trust import NANO, BundleName
from ftsdk.version import __version__

#: Seconds of work in a task, so that little is done again where something dies.
_TASK_SECONDS = 2.0
_FIRST_TASK, _MAX_TASK = 2, 64
#: Workers that a file may cost before it is told as a failure.
_MAX_DEATHS = 3


@dataclass(frozen=True)
class Task:
    """Files for one worker.

    Attributes:
        entries: the files.
        deaths: how many workers died with this one file and nothing else; None for a task of which
            none has died, be it with one file or many.
    """

    entries: tuple[Entry, ...]
    deaths: int | None = None


class Fleet:
    """The workers of a cluster for one listing; to be entered, which waits for the first of them.

    Args:
        address: see `ftsdk.fleet.cluster.joined`.
        listing: the files; their names travel, not what they hold.
        bundle: the same on every node, where it is proven by the hash of the one here.
        device: `auto`, `cpu` or `cuda`; which GPU is Ray's choice.
        report: write reports, or stop at the masks.
        warn: called with why a node is not used.

    Raises:
        OptionError: a device by number.
        BundleError: the bundle here is at fault.

    Examples:
        >>> with Fleet("auto", listing, warn=print) as fleet:
        ...     write_all(fleet.rows(listing.entries), book, print)
    """

    def __init__(
        self,
        address: str,
        listing: Listing,
        bundle: BundleName | None = None,
        *,
        device: str = "auto",
        report: bool = True,
        warn: Callable[[FtsdkError], None],
    ) -> None:
        if device not in ("auto", "cpu", "cuda"):
            raise OptionError(
                f"a cluster cannot be asked for {device}",
                expected="auto, cpu or cuda",
                found=device,
                cure="leave the number out: Ray chooses the GPU",
            )
        here = open_bundle(bundle)
        path = here.path.resolve()
        folder = None if path == NANO.resolve() else path
        bare = replace(listing, entries=(), entered=frozenset())
        self._config = WorkerConfig(__version__, folder, here.sha256, bare, report, device)
        self._address, self._warn, self._left = address, warn, ExitStack()

    @property
    def workers(self) -> int:
        """How many workers are ready by now."""
        return len(self._pool.workers)

    def __enter__(self) -> Fleet:
        with ExitStack() as stack:
            self._cluster = stack.enter_context(joined(self._address))
            self._pool = WorkerPool(self._cluster, self._config, self._warn)
            while not self._pool.workers:
                self._pool.refresh()
                self._cluster.wait(1.0)
            self._left = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def rows(self, entries: Sequence[Entry]) -> Generator[Row, None, None]:
        """Yield a row for each file, in any order, as the workers answer.

        Raises:
            FleetError: no node is left that can be used.
        """
        queue = _TaskQueue(entries)
        while queue.unfinished:
            self._pool.refresh()
            for worker in self._pool.workers:
                while task := queue.next_for(worker, len(self._pool.workers)):
                    self._send(task, worker, queue)
            self._cluster.wait(1.0)
            while queue.done:
                queue.unfinished -= 1
                yield queue.done.popleft()

    def _send(self, task: Task, worker: WorkerHandle, queue: _TaskQueue) -> None:
        worker.in_flight, worker.alone = worker.in_flight + 1, task.deaths is not None
        answer = worker.actor.rows.remote(task.entries)
        self._cluster.when(answer, partial(self._answered, task, worker, queue, time.monotonic()))

    def _answered(
        self,
        task: Task,
        worker: WorkerHandle,
        queue: _TaskQueue,
        sent: float,
        answer: list[Row] | Lost,
    ) -> None:
        worker.in_flight -= 1
        if isinstance(answer, Lost):
            self._pool.lost(worker)
            queue.requeue(task, answer)
            return
        assert len(answer) == len(task.entries), "a file without a row"
        now = time.monotonic()
        worker.seconds_per_picture = (now - max(sent, worker.last_answer)) / len(task.entries)
        worker.last_answer = now
        queue.done.extend(answer)


class _TaskQueue:
    """What is to be done, and the rows that are done and not yet taken.

    A file whose worker died goes to another one alone, so that it is known which file it was.

    Attributes:
        unfinished: files whose row was not yielded.
        done: rows that are to be.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries, self._next = entries, 0
        self._suspects: deque[Task] = deque()
        self.unfinished = len(entries)
        self.done: deque[Row] = deque()

    def next_for(self, worker: WorkerHandle, workers: int) -> Task | None:
        """Return what a worker is to do next; None if it has enough, or there is nothing."""
        if self._suspects:
            return None if worker.in_flight else self._suspects.popleft()
        left = len(self._entries) - self._next
        if not left or worker.in_flight >= (1 if worker.alone else MAX_IN_FLIGHT):
            return None
        share = math.ceil(left / (MAX_IN_FLIGHT * workers))
        size = min(_task_size(worker.seconds_per_picture), share)
        start, self._next = self._next, self._next + size
        return Task(tuple(self._entries[start : self._next]))

    def requeue(self, task: Task, lost: Lost) -> None:
        """Take back what a worker had when it died."""
        if task.deaths is None:
            self._suspects.extend(Task((entry,), 0) for entry in task.entries)
        elif task.deaths + 1 < _MAX_DEATHS:
            self._suspects.append(replace(task, deaths=task.deaths + 1))
        else:
            self.done.append(rows.failed(task.entries[0].name, _lost_with_it(lost)))


def _task_size(seconds_per_picture: float | None) -> int:
    """Return how many pictures make a task, by the seconds that one took."""
    if seconds_per_picture is None:
        return _FIRST_TASK
    return max(1, min(_MAX_TASK, int(_TASK_SECONDS / max(seconds_per_picture, 1e-3))))


def _lost_with_it(lost: Lost) -> WorkerLostError:
    return WorkerLostError(
        "Each worker that analysed this file died.",
        expected=f"one of {_MAX_DEATHS} that lives",
        found=lost.why,
        cure="Analyse it alone with ft-analyze; look at the memory of the nodes and Ray's logs.",
    )
