"""Tensors to results: what the numbers of an analysis mean to its reader."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ftsdk.analysis import Asked, Located, LocatedPicture, View
from ftsdk.answer import Provenance, Region
from ftsdk.bundle import Bundle
from ftsdk.decision import (
    cut_mask,
    manipulation_score,
    mask_probabilities,
    region_probabilities,
    score_threshold,
    suspected_regions,
)
from ftsdk.engines.contract import Tensors, arrays
from ftsdk.errors import OptionError
from ftsdk.imaging.faces import Framed
from ftsdk.imaging.framing import place
from ftsdk.imaging.layout import covered_share
from ftsdk.imaging.picture import Picture
from ftsdk.language.prompt import Prompt
from ftsdk.language.writer import Text
from ftsdk.result import Result
from ftsdk.validity import CannotTell, beyond, facts_of, unsure
from ftsdk.version import __version__


class ResultBuilder:
    """Reads this bundle's tensors.

    Args:
        bundle: whose tensors they are.
        runtime: what ran them, for the provenance.
        device: where.
    """

    def __init__(self, bundle: Bundle, runtime: str, device: str) -> None:
        self._manifest, self._bundle_sha256 = bundle.manifest, bundle.sha256
        self._runtime, self._device = runtime, device

    def views(
        self, picture: Picture, framed: Framed, tensors: Sequence[Tensors]
    ) -> tuple[View, ...]:
        """Return a picture's faces as the model is to see them.

        `tensors` holds each one's `pixel_values` [1, 3, S, S] float32.
        """
        manifest = self._manifest
        threshold = score_threshold(manifest, len(framed.faces))
        facts = facts_of(picture, framed, manifest.validity)
        return tuple(
            View(picture, face.box, (*face.notes, *manifest.limits), pixels, threshold, facts)
            for face, pixels in zip(framed.faces, tensors, strict=True)
        )

    def foremost_first(self, views: Sequence[View]) -> tuple[View, ...]:
        """Return the faces, and first the one that looks most manipulated."""
        scores = [manipulation_score(view.tensors, self._manifest) or 0.0 for view in views]
        first = int(np.argmax(scores))
        return (views[first], *views[:first], *views[first + 1 :])

    def cannot_tell(self, views: Sequence[View]) -> CannotTell | None:
        """Return why nothing can be said of a picture, as far as is known; None if it can."""
        limits, entry = self._manifest.validity, self._manifest.score
        why = beyond(views[0].facts, limits)
        if why or entry is None or entry.tensor not in views[0].tensors:
            return why
        scores = (manipulation_score(view.tensors, self._manifest) for view in views)
        return unsure(max(score for score in scores if score is not None), limits)

    def unanswered(self, view: View, why: CannotTell, timings: Mapping[str, float]) -> Result:
        """Return the answer to a picture of which nothing can be said."""
        size = self._manifest.mask_size
        return Result(
            picture=view.picture,
            face=None,
            probabilities=np.zeros((size, size), np.float32),
            mask_threshold=self._manifest.mask_threshold,
            regions=(),
            region_probabilities={},
            report=None,
            report_ids=(),
            score=None,
            score_threshold=None,
            corrections=(),
            limits=(),
            timings=timings,
            provenance=self._provenance(view.picture),
            image_tensors={},
            cannot_tell=why,
        )

    def require_own(self, result: Result) -> None:
        """Raise OptionError unless `result` was made with this bundle."""
        if result.provenance.bundle_sha256 != self._bundle_sha256:
            raise OptionError(
                "this result was made with another bundle",
                expected=self._manifest.name,
                found=result.provenance.bundle,
                cure="refine it with an Analyzer of the bundle that made it",
            )

    def suspected(self, view: View) -> list[str]:
        """Return the regions that the model suspects, in label order."""
        return suspected_regions(view.tensors, self._manifest)

    def asked(self, view: View, names: Sequence[str], prompt: Prompt) -> Asked:
        """Return what is asked about a face; the regions' areas are not known yet."""
        probabilities = region_probabilities(view.tensors, self._manifest)
        regions = tuple(Region(name, probabilities[name]) for name in names)
        return Asked(view, regions, prompt.text, {**view.tensors, **prompt.tensors})

    def located(self, asked: Asked, tensors: Tensors, key: Hashable) -> Located:
        """Return where a face may have been manipulated; `tensors` hold `mask_logits`."""
        view, picture = asked.view, asked.view.picture
        probabilities = mask_probabilities(tensors)
        mask = cut_mask(probabilities, self._manifest.mask_threshold)
        return Located(
            view=view,
            prompt=asked.prompt,
            tensors=tensors,
            key=key,
            probabilities=place(probabilities, view.face, picture.height, picture.width),
            regions=tuple(
                replace(region, area=covered_share(mask, region.name)) for region in asked.regions
            ),
            region_probabilities=region_probabilities(tensors, self._manifest),
            score=manipulation_score(tensors, self._manifest),
        )

    def result(
        self,
        located: LocatedPicture,
        texts: Sequence[Text],
        corrections: tuple[str, ...],
        timings: Mapping[str, float],
    ) -> Result:
        """Return the answer to a picture.

        Args:
            located: where it may have been manipulated.
            texts: what was written about each face of it; empty where nothing was asked.
            corrections: what a user decided.
            timings: milliseconds by step.
        """
        written: Sequence[Text | None] = texts or [None] * len(located.faces)
        first, *beside = zip(located.faces, written, strict=True)
        make = partial(self._made, corrections=corrections, timings=timings)
        others = (make(face, text, face.probabilities, face.score) for face, text in beside)
        return make(
            *first, located.probabilities, located.score, others=(*located.standing, *others)
        )

    def _made(
        self,
        face: Located,
        text: Text | None,
        probabilities: NDArray[np.float32],
        score: float | None,
        corrections: tuple[str, ...],
        timings: Mapping[str, float],
        others: tuple[Result, ...] = (),
    ) -> Result:
        manifest, view = self._manifest, face.view
        start = manifest.language.start_token
        return Result(
            picture=view.picture,
            face=view.face,
            probabilities=probabilities,
            mask_threshold=manifest.mask_threshold,
            regions=face.regions,
            region_probabilities=face.region_probabilities,
            report=text.report if text else None,
            report_ids=(start, *text.ids) if text and text.ids else (),
            score=score,
            score_threshold=view.score_threshold,
            corrections=corrections,
            limits=view.limits,
            timings=timings,
            provenance=self._provenance(view.picture),
            # The vision encoder does not run again, so its input is not kept.
            image_tensors=arrays({k: v for k, v in view.tensors.items() if k != "pixel_values"}),
            others=others,
            operating_point=manifest.score.default if manifest.score else None,
        )

    def _provenance(self, picture: Picture) -> Provenance:
        return Provenance(
            ftsdk=__version__,
            bundle=self._manifest.name,
            bundle_sha256=self._bundle_sha256,
            precision=self._manifest.precision,
            runtime=self._runtime,
            device=self._device,
            picture_sha256=picture.sha256,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
