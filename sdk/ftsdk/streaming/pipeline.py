"""Frames through four lanes, a thread each: read, prepare, mask, write.

    source -> [arrived] -> decode, follow faces, preprocess -> [prepared] -> mask -> [answers]
                                                                 └> [changed] -> report ─┘

Only `arrived` drops frames. A lane takes a frame no earlier than the next lane has room for it, so
a frame is at most `QUEUED + 2` masks old when its own is out: `QUEUED` is 1 for `newest only`.
Reports have a lane of their own; a frame that waits for one gives way to a newer one, unless every
frame is to be reported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ftsdk.analysis import LocatedPicture, View
from ftsdk.analyzer import Analyzer
from ftsdk.cancellation import Cancellation
from ftsdk.errors import AnalysisCancelledError, FtsdkError, SourceError
from ftsdk.events import Finished
from ftsdk.imaging.faces import FaceFramer, Framer
from ftsdk.question import Question
from ftsdk.stopwatch import Stopwatch
from ftsdk.streaming.answers import Frame, FrameAnswer, FrameFailed, FrameMasked, FrameReported
from ftsdk.streaming.change import ChangeDetector
from ftsdk.streaming.following import FaceFollower
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.queues import BoundedQueue
from ftsdk.streaming.sources import Shot, Source, lost

QUEUED = 4
_ANSWERS = 4
# Seconds that the end of a watch waits for a camera's driver.
_READER_PATIENCE = 1.0
T = TypeVar("T")
Views = tuple[View, ...]


@dataclass(frozen=True)
class Arrived:
    """A frame, and when it came."""

    frame: Frame
    shot: Shot
    clock: float
    watch: Stopwatch


@dataclass(frozen=True)
class _Step(Generic[T]):
    """A frame on its way, and what the last lane made of it."""

    arrived: Arrived
    made: T


class Pipeline:
    """One watch: four threads that end when the source ends, or when it is closed."""

    def __init__(self, analyzer: Analyzer, source: Source, options: WatchOptions) -> None:
        self._analyzer, self._source, self._options = analyzer, source, options
        self._question = Question(None, None, options.report != "never", analyzer.language)
        self._framer = _framer_of(analyzer, source)
        self._changes = ChangeDetector()
        self._start = time.perf_counter()
        self._read_since: float | None = None
        self._stopped = threading.Event()
        self._cancellation = Cancellation()
        self._failure: BaseException | None = None
        self._arrived = BoundedQueue[Arrived](QUEUED, options.policy or "wait")
        self._prepared = BoundedQueue[_Step[Views | FtsdkError]](1)
        newest = options.report == "on change"
        self._changed = BoundedQueue[_Step[LocatedPicture]](1, "newest only" if newest else "wait")
        self._answers = BoundedQueue[FrameAnswer](_ANSWERS)
        lanes = (self._read, self._prepare, self._mask, self._write)
        self._threads = [
            threading.Thread(target=self._guarded, args=(lane,), name=f"ftsdk{lane.__name__}")
            for lane in lanes
        ]
        for thread in self._threads:
            thread.daemon = True  # one may hang in a camera driver; it must not hold the program

    def answers(self) -> Generator[FrameAnswer, None, None]:
        """Yield answers until the source has ended; closing the generator ends every lane.

        Raises:
            SourceError: the source died, or gave nothing for longer than the time-out.
        """
        for thread in self._threads:
            thread.start()
        try:
            while not self._answers.ended:
                answer = self._answers.take(timeout=0.5)
                if answer is not None:
                    yield answer
                elif self._stalled():
                    raise lost(self._source.name, f"no frame in {self._options.timeout:g} s")
            if self._failure:
                raise self._failure
        finally:
            self._close()

    def _close(self) -> None:
        self._stopped.set()
        self._cancellation.cancel()
        self._abort()
        reader, *others = self._threads
        for thread in others:
            thread.join(timeout=self._options.timeout)
        reader.join(timeout=_READER_PATIENCE)

    def _abort(self) -> None:
        for queue in (self._arrived, self._prepared, self._changed, self._answers):
            queue.abort()

    def _guarded(self, lane: Callable[[], None]) -> None:
        try:
            lane()
        except SourceError as error:  # what arrived before is answered first
            self._failure = self._failure or error
            self._arrived.finish()
        except AnalysisCancelledError:
            pass
        except BaseException as error:
            self._failure = self._failure or error
            self._stopped.set()
            self._abort()

    def _read(self) -> None:
        for index, shot in enumerate(self._shots()):
            now = time.perf_counter()
            seconds = now - self._start if shot.seconds is None else shot.seconds
            watch = Stopwatch(cancellation=self._cancellation)
            self._arrived.put(Arrived(Frame(index, shot.name, seconds), shot, now, watch))
        self._arrived.finish()

    def _shots(self) -> Iterator[Shot]:
        """Yield the source's frames, opened anew as often in a row as retries allow."""
        failures = 0
        while not self._stopped.is_set():
            try:
                for shot in self._timed(self._source.frames()):
                    failures = 0
                    yield shot
                if not self._source.live:
                    return
                error: SourceError = lost(self._source.name, "its stream ended")
            except SourceError as raised:
                error = raised
            failures += 1
            if failures > self._options.retries or self._stopped.is_set():
                raise error
            self._stopped.wait(self._options.retry_wait)

    def _timed(self, shots: Iterator[Shot]) -> Iterator[Shot]:
        while not self._stopped.is_set():
            if self._options.policy == "wait":
                self._arrived.room()
            self._read_since = time.perf_counter()
            shot = next(shots, None)
            self._read_since = None
            if shot is None:
                return
            yield shot

    def _stalled(self) -> bool:
        since = self._read_since
        waited = 0.0 if since is None else time.perf_counter() - since
        return waited > self._options.timeout and not len(self._arrived)

    def _prepare(self) -> None:
        self._prepared.room()
        for arrived in self._arrived:
            self._prepared.put(_Step(arrived, self._prepared_or_error(arrived)))
            self._prepared.room()
        self._prepared.finish()

    def _prepared_or_error(self, arrived: Arrived) -> Views | FtsdkError:
        image, color = arrived.shot.image, self._options.color
        try:
            views = self._analyzer.prepare(image, color, arrived.watch, self._framer)
            return _noted(views, arrived.shot.notes)
        except AnalysisCancelledError:
            raise
        except FtsdkError as error:  # told by the mask lane, in the frame's turn
            return error

    def _mask(self) -> None:
        for step in self._prepared:
            with _Attempt(self, step.arrived):
                if isinstance(step.made, FtsdkError):
                    raise step.made
                self._mask_one(step.arrived, step.made)
        self._changed.finish()

    def _mask_one(self, arrived: Arrived, views: Views) -> None:
        analyzer, question, watch = self._analyzer, self._question, arrived.watch
        unanswered = analyzer.unanswered(views, watch)
        if unanswered is None:
            views = analyzer.look(views, watch)
            unanswered = analyzer.unanswered(views, watch)
        if unanswered:
            self.answer(FrameMasked(arrived.frame, unanswered, *self._measured(arrived)))
            return
        located = analyzer.locate(analyzer.ask(views, question, watch), question, watch)
        result = analyzer.result(located, question, watch)
        self.answer(FrameMasked(arrived.frame, result, *self._measured(arrived)))
        always = self._options.report == "always"
        if always or (self._question.report and self._changes.changed(result)):
            self._changed.put(_Step(arrived, located))

    def _write(self) -> None:
        for step in self._changed:
            with _Attempt(self, step.arrived):
                watch = step.arrived.watch
                for event in self._analyzer.explain(step.made, self._question, watch):
                    if isinstance(event, Finished):
                        measured = self._measured(step.arrived)
                        self.answer(FrameReported(step.arrived.frame, event.result, *measured))
        self._answers.finish()

    def answer(self, answer: FrameAnswer) -> None:
        """Hand an answer over; waits while the caller has not taken earlier ones."""
        self._answers.put(answer)

    def _measured(self, arrived: Arrived) -> tuple[float, int]:
        return (time.perf_counter() - arrived.clock) * 1e3, self._arrived.dropped

    def failed(self, arrived: Arrived, error: FtsdkError) -> None:
        """Answer that a frame cannot be analysed."""
        self.answer(FrameFailed(arrived.frame, error, self._arrived.dropped))


def _noted(views: Views, notes: tuple[str, ...]) -> Views:
    """Return `views` with the source's notes on the picture before its own."""
    picture = replace(views[0].picture, notes=(*notes, *views[0].picture.notes))
    return tuple(replace(view, picture=picture) for view in views)


def _framer_of(analyzer: Analyzer, source: Source) -> Framer:
    framer = analyzer.chain.framer
    if isinstance(framer, FaceFramer) and not source.unrelated:
        return FaceFollower(framer)
    return framer


class _Attempt:
    """What goes wrong inside is the frame's failure, not the watch's."""

    def __init__(self, pipeline: Pipeline, arrived: Arrived) -> None:
        self._pipeline, self._arrived = pipeline, arrived

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, FtsdkError) or isinstance(error, AnalysisCancelledError):
            return False
        self._pipeline.failed(self._arrived, error)
        return True
