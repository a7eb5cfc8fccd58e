"""What the service does, without HTTP: analyse, correct, keep, draw."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from ftsdk.analyzer import Analyzer
from ftsdk.asynchronous import Work
from ftsdk.cancellation import Cancellation
from ftsdk.errors import AnalysisCancelledError, NotReadyError
from ftsdk.events import Event, Finished
from ftsdk.imaging.layout import region_place
from ftsdk.imaging.reader import PictureReader
from ftsdk.regions import face_region
from ftsdk.report.edits import Edit, now
from ftsdk.result import Result
from ftsdk.serve.analyses import Analysis, AnalysisStore, MemoryStore, analysis_of, new_id
from ftsdk.serve.bodies import parse_json
from ftsdk.serve.budget import Budget
from ftsdk.serve.deadline import Deadline
from ftsdk.serve.disk import DiskStore
from ftsdk.serve.documents import REFINE_LIMITS, RefineRequest
from ftsdk.serve.message import Message, as_messages
from ftsdk.serve.metrics import Metrics
from ftsdk.serve.painting import painted
from ftsdk.serve.picture_file import Asked
from ftsdk.serve.settings import Settings
from ftsdk.serve.uploads import Body
from ftsdk.serve.workers import Workers
from ftsdk.stopwatch import Stopwatch
from ftsdk.version import __version__

_PLACE_SIZE = 256
_DRAWERS = 2
_DRAWINGS = 64


class Service:
    """One analyzer behind a queue, and what it answered.

    Raises:
        BundleError, EngineError: the analyzer does not load.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._analyzer = Analyzer(
            settings.bundle,
            device=settings.device,
            threads=settings.threads,
            isolate_decoding=True,
            max_pixels=settings.max_pixels,
        )
        self.workers = Workers(settings.workers, settings.queue)
        # Drawing is short, but no work for the event loop; two at a time bound its memory.
        self.drawers = Workers(_DRAWERS, _DRAWINGS)
        places = settings.workers + settings.queue
        self.budget = Budget(places * settings.max_bytes, settings.max_bytes)
        self.store = _store(settings, self._analyzer.reader)
        self.metrics = Metrics(self.workers, self.store, self.budget)
        self.warm = False
        self.draining = False
        self._model: dict[str, Any] | None = None

    @property
    def ready(self) -> bool:
        """Warm, and not about to stop."""
        return self.warm and not self.draining

    def warm_up(self) -> None:
        """Analyse the bundle's golden picture, so that no user pays for first times."""
        bundle = self._analyzer.bundle
        result = self._analyzer.analyze(bundle.read(bundle.manifest.golden_picture))
        self._model = self._describe(result.provenance.device)
        self.warm = True

    @property
    def model(self) -> dict[str, Any]:
        """The loaded model as `ModelDocument`.

        Raises:
            NotReadyError: still warming up.
        """
        self.check_ready()
        assert self._model is not None
        return self._model

    def check_ready(self) -> None:
        """Raise NotReadyError while starting or stopping."""
        if not self.ready:
            raise NotReadyError(
                "the service takes no pictures now",
                expected="a warm model",
                found="stopping" if self.draining else "starting",
                cure="wait until GET /readyz answers 200",
            )

    @property
    def name(self) -> str:
        """The loaded model's name."""
        return self._analyzer.bundle.manifest.name

    def analyze(
        self, body: Body, regions: Sequence[str] | None, report: bool, deadline: Deadline
    ) -> Work[Message]:
        """Return the work of one picture.

        Raises (when run):
            RequestError, InputError: the body holds no picture that is taken.
        """

        def work(cancellation: Cancellation) -> Generator[Message, None, None]:
            upload = body.upload(Stopwatch(deadline.left, cancellation).check)
            asked = Asked(upload, regions, report)
            yield from as_messages(self.analysis(asked, deadline, cancellation))

        return work

    def analysis(
        self, asked: Asked, deadline: Deadline, cancellation: Cancellation
    ) -> Generator[Event | Analysis, None, None]:
        """Yield what is found in a picture as it becomes known, and at last the kept analysis."""
        upload = asked.upload

        def keep(result: Result) -> Analysis:
            watch = Stopwatch(deadline.left, cancellation)
            credentials = self._analyzer.reader.credentials(upload.data, watch)
            return analysis_of(result, upload.data, credentials, asked.regions)

        events = self._analyzer.stream(
            upload.open(),
            regions=asked.regions,
            report=asked.report,
            timeout=deadline.left,
            cancellation=cancellation,
        )
        yield from self._kept(events, keep)

    def refine(self, body: bytes, deadline: Deadline) -> Work[Message]:
        """Return the work of a correction, a `RefineRequest` in JSON.

        Raises (when run):
            RequestError: the body is something else.
            AnalysisNotFoundError: the analysis is not kept.
            RegionError, ArrayError: the correction does not fit it.
        """

        def work(cancellation: Cancellation) -> Generator[Message, None, None]:
            request = parse_json(RefineRequest, body, REFINE_LIMITS)
            parent = self.store.get(request.id)
            mask = None if request.mask is None else painted(request.mask, parent.result)
            events = self._analyzer.stream_refined(
                parent.result,
                request.regions,
                mask,
                timeout=deadline.left,
                cancellation=cancellation,
            )
            regions = None if request.regions is None else tuple(request.regions)
            edit = Edit(now(), request.by or None, regions, mask is not None)

            def keep(result: Result) -> Analysis:
                edits = (*parent.edits, edit)
                return Analysis(
                    new_id(), result, parent.original, parent.credentials, edits, parent.id
                )

            yield from as_messages(self._kept(events, keep))

        return work

    def close(self) -> None:
        """Let running work finish, then free everything."""
        self.workers.close()
        self.drawers.close()
        self.store.close()
        self._analyzer.close()

    def _kept(
        self, events: Iterator[Event], keep: Callable[[Result], Analysis]
    ) -> Generator[Event | Analysis, None, None]:
        outcome = "cancelled"
        try:
            self.store.require_room()
            for event in events:
                if isinstance(event, Finished):
                    analysis = keep(event.result)
                    self.store.put(analysis)
                    self.metrics.observe(event.result.timings)
                    outcome = "finished"
                    yield analysis.fresh()
                else:
                    yield event
        except (AnalysisCancelledError, GeneratorExit):
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            events.close()  # type: ignore[attr-defined]
            self.metrics.analyses.labels(outcome).inc()

    def _describe(self, device: str) -> dict[str, Any]:
        bundle, settings = self._analyzer.bundle, self.settings
        manifest = bundle.manifest
        return {
            "ftsdk": __version__,
            "bundle": manifest.name,
            "bundle_sha256": bundle.sha256,
            "precision": manifest.precision,
            "device": device,
            "labels": list(manifest.labels),
            "region_threshold": manifest.region_threshold,
            "mask_threshold": manifest.mask_threshold,
            "places": {name: _outlines(name) for name in manifest.labels},
            "region_words": {name: list(face_region(name).words) for name in manifest.labels},
            "has_score": manifest.score is not None,
            "limits": list(manifest.limits),
            "service": {
                "max_bytes": settings.max_bytes,
                "max_pixels": settings.max_pixels,
                "keep_seconds": None if settings.store else settings.keep_seconds,
            },
        }


def _outlines(name: str) -> list[list[list[float]]]:
    place = region_place(name, _PLACE_SIZE).view(np.uint8)
    contours, _ = cv2.findContours(place, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1)
    outlines: list[list[list[float]]] = [
        (contour[:, 0] / _PLACE_SIZE).round(4).tolist() for contour in contours
    ]
    return outlines


def _store(settings: Settings, reader: PictureReader) -> AnalysisStore:
    if settings.store:
        return DiskStore(settings.store, settings.store_bytes, reader.read_again)
    return MemoryStore(settings.keep, settings.keep_bytes, settings.keep_seconds)
