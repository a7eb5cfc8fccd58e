"""Tensors to an answer: regions, areas, provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.bundle import Bundle
from ftsdk.decision import (
    cut_mask,
    manipulation_score,
    mask_probabilities,
    region_probabilities,
    score_threshold,
)
from ftsdk.engines.contract import arrays
from ftsdk.errors import ArrayError, RegionError
from ftsdk.imaging.framing import Box, cut_out, place, united
from ftsdk.imaging.layout import covered_share
from ftsdk.imaging.picture import Picture
from ftsdk.language.options import Language
from ftsdk.result import Provenance, Region, Result
from ftsdk.stages import Known, Stages
from ftsdk.version import __version__

# How far a painted mask's probabilities stay from 0 and 1, where a logit would be infinite.
_SURE = 1e-3


@dataclass(frozen=True)
class View:
    """A picture as the vision stages have seen it.

    Attributes:
        picture: the whole picture.
        face: the square of it that they saw; None for all of it.
        limits: what limits every answer to this picture.
        tensors: every tensor that they left, by name.
        others: the picture's other faces, to be answered too.
        answered: answers to other faces that stand.
    """

    picture: Picture
    face: Box | None
    limits: tuple[str, ...]
    tensors: Known
    others: tuple[View, ...] = ()
    answered: tuple[Result, ...] = ()

    @property
    def key(self) -> Hashable:
        """What the vision stages' outputs depend on."""
        return self.picture.sha256, self.face


@dataclass(frozen=True)
class Question:
    """What is asked about one picture; None leaves it to the model."""

    regions: list[str] | None
    mask_logits: NDArray[np.float32] | None
    report: bool
    language: Language

    @property
    def corrections(self) -> tuple[str, ...]:
        """What the user decided in the model's place."""
        decided = {"regions": self.regions, "mask": self.mask_logits}
        return tuple(name for name, value in decided.items() if value is not None)

    @property
    def painted(self) -> str | None:
        """SHA-256 of the mask that the user decided on, if any."""
        logits = self.mask_logits
        return None if logits is None else hashlib.sha256(logits.tobytes()).hexdigest()


@dataclass(frozen=True)
class Located:
    """An answer as far as the mask decoder knows it.

    Attributes:
        answer: everything but the report.
        prompt: what was asked.
        tensors: every tensor so far, by name.
        key: what the text stages' inputs depend on: picture, regions, and a painted mask.
        others: the same of the picture's other faces.
    """

    answer: Result
    prompt: str
    tensors: Known
    key: Hashable
    others: tuple[Located, ...] = ()


def joined(answer: Result, others: Sequence[Result]) -> Result:
    """Return `answer` with those to the `others` of the picture's faces beside it.

    Its mask becomes that of all faces and its score the highest.
    """
    if not others:
        return answer
    faces = (answer, *others)
    scores = [face.score for face in faces if face.score is not None]
    return replace(
        answer,
        probabilities=united([face.probabilities for face in faces]),
        score=max(scores, default=None),
        others=tuple(others),
    )


class AnswerBuilder:
    """What this bundle's tensors mean."""

    def __init__(self, bundle: Bundle, stages: Stages) -> None:
        self._manifest = bundle.manifest
        self._bundle_sha256 = bundle.sha256
        self._runtime, self._device = stages.runtime, stages.device

    def known_regions(self, regions: Sequence[str] | None) -> list[str] | None:
        """Return the names in label order; None stays None.

        Raises:
            RegionError: a name is no label of this bundle.
        """
        if regions is None:
            return None
        labels = self._manifest.labels
        unknown = [name for name in regions if name not in labels]
        if unknown or isinstance(regions, str):
            raise RegionError(
                "the model does not know every region",
                expected=f"a list of names among {', '.join(labels)}",
                found=", ".join(unknown) or f"the string {regions!r}",
                cure="choose among the names above",
            )
        return [label for label in labels if label in regions]

    def foremost(self, view: View) -> View:
        """Return the face that looks most manipulated, the rest as its `others`."""
        every = [replace(face, others=()) for face in (view, *view.others)]
        scores = [manipulation_score(face.tensors, self._manifest) or 0.0 for face in every]
        first = every.pop(int(np.argmax(scores)))
        return replace(first, others=tuple(every))

    def regions(self, tensors: Known, names: Sequence[str]) -> tuple[Region, ...]:
        """Return `names` with their probabilities; areas are not known yet."""
        probabilities = region_probabilities(tensors, self._manifest)
        return tuple(Region(name, probabilities[name]) for name in names)

    def localised(self, view: View, tensors: Known, names: Sequence[str]) -> Result:
        """Return the answer as far as the mask decoder knows it: all but the report."""
        manifest, picture = self._manifest, view.picture
        probabilities = mask_probabilities(tensors)
        mask = cut_mask(probabilities, manifest.mask_threshold)
        by_region = region_probabilities(tensors, manifest)
        return Result(
            picture=picture,
            face=view.face,
            probabilities=place(probabilities, view.face, picture.height, picture.width),
            mask_threshold=manifest.mask_threshold,
            regions=tuple(
                Region(name, by_region[name], covered_share(mask, name)) for name in names
            ),
            region_probabilities=by_region,
            report=None,
            report_ids=(),
            score=manipulation_score(tensors, manifest),
            score_threshold=score_threshold(manifest),
            corrections=(),
            limits=view.limits,
            timings={},
            provenance=self._provenance(picture),
            # The vision encoder does not run again, so its input is not kept.
            image_tensors=arrays({k: v for k, v in view.tensors.items() if k != "pixel_values"}),
            operating_point=manifest.score.default if manifest.score else None,
        )

    def painted(self, result: Result, mask: NDArray[np.bool_] | None) -> NDArray[np.float32] | None:
        """Return `mask_logits` [1, M, M] of a mask painted now, or before, or None.

        Raises:
            ArrayError: the mask is not [H, W] bool at the picture's size.
        """
        if mask is not None:
            _check_painted(mask, result)
        elif "mask" in result.corrections:
            mask = result.mask
        else:
            return None
        if result.face:
            mask = cut_out(mask, result.face)
        size = (self._manifest.mask_size,) * 2
        shares = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        sure = np.clip(shares, _SURE, 1 - _SURE)
        logits: NDArray[np.float32] = np.log(sure / (1 - sure))[None].astype(np.float32)
        return logits

    def _provenance(self, picture: Picture) -> Provenance:
        return Provenance(
            ftsdk=__version__,
            bundle=self._manifest.name,
            bundle_sha256=self._bundle_sha256,
            precision=self._manifest.precision,
            runtime=self._runtime,
            device=self._device,
            picture_sha256=picture.sha256,
            created=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        )


def _check_painted(mask: NDArray[np.bool_], result: Result) -> None:
    expected = (result.picture.height, result.picture.width)
    if mask.dtype != np.bool_ or mask.shape != expected:
        raise ArrayError(
            "the painted mask does not fit the picture",
            expected=f"bool {list(expected)}",
            found=f"{mask.dtype} {list(mask.shape)}",
            cure="paint at the picture's own size, as result.mask has it",
        )
