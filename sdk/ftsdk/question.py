"""What is asked about one picture, and what a user decides in the model's place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ftsdk.errors import ArrayError, OptionError, RegionError
from ftsdk.imaging.framing import cut_out
from ftsdk.language.options import Language
from ftsdk.manifest import Manifest
from ftsdk.result import Result

# How far a user's mask stays from the probabilities 0 and 1, where a logit would be infinite.
_SURE = 1e-3


@dataclass(frozen=True)
class Question:
    """What is asked; None leaves it to the model.

    Attributes:
        regions: the regions to ask about, in label order.
        mask_logits: the user's mask as the mask decoder would say it, [1, M, M] float32.
        report: whether words are wanted.
        language: how they are decoded.

    Raises:
        OptionError: `language` is something else.
    """

    regions: Sequence[str] | None
    mask_logits: NDArray[np.float32] | None
    report: bool
    language: Language

    def __post_init__(self) -> None:
        if isinstance(self.language, Language):
            return
        raise OptionError(
            "language does not say how reports are decoded",
            expected="a Language, such as Language(beams=5); reports are in the model's language",
            found=repr(self.language),
            cure="leave language out, or pass ftsdk.Language(...)",
        )

    @property
    def corrections(self) -> tuple[str, ...]:
        """What the user decided in the model's place: `regions`, `mask`, both or nothing."""
        decided = {"regions": self.regions, "mask": self.mask_logits}
        return tuple(name for name, value in decided.items() if value is not None)

    @property
    def mask_sha256(self) -> str | None:
        """Hash of the user's mask, if there is one."""
        logits = self.mask_logits
        return None if logits is None else hashlib.sha256(logits.tobytes()).hexdigest()


def correction(
    result: Result,
    regions: Sequence[str] | None,
    mask: NDArray[np.bool_] | None,
    manifest: Manifest,
    language: Language,
) -> Question:
    """Return the question of a user who corrects `result`; what was corrected before stays so.

    Args:
        result: an answer of the bundle with this manifest.
        regions: the regions that are manipulated; None keeps the result's corrected ones.
        mask: the manipulated pixels [H, W] bool at the picture's size; None keeps a corrected one.
        manifest: the bundle's.
        language: how the report is decoded.

    Raises:
        RegionError: a name is no label of this bundle.
        ArrayError: the mask has another dtype or shape.
        OptionError: there is no answer to correct.
    """
    if result.cannot_tell:
        raise OptionError(
            "there is no answer to correct",
            expected="a result with an answer",
            found=result.finding,
            cure="pass a picture that the model was made for",
        )
    if regions is None and "regions" in result.corrections:
        regions = [region.name for region in result.regions]
    if mask is None and "mask" in result.corrections:
        mask = result.mask
    logits = None if mask is None else _mask_logits(mask, result, manifest.mask_size)
    return Question(known_regions(regions, manifest), logits, result.report is not None, language)


def known_regions(regions: Sequence[str] | None, manifest: Manifest) -> list[str] | None:
    """Return the names in label order; None stays None.

    Raises:
        RegionError: a name is no label of this bundle.
    """
    if regions is None:
        return None
    labels = manifest.labels
    unknown = [] if isinstance(regions, str) else [name for name in regions if name not in labels]
    if unknown or isinstance(regions, str):
        raise RegionError(
            "the model does not know every region",
            expected=f"a list of names among {', '.join(labels)}",
            found=", ".join(map(str, unknown)) or f"the string {regions!r}",
            cure="pass a list of names above",
        )
    return [label for label in labels if label in regions]


def _mask_logits(mask: NDArray[np.bool_], result: Result, size: int) -> NDArray[np.float32]:
    """Return [1, size, size] float32 of a mask [H, W] bool, by the covered share of each cell."""
    _check_mask(mask, result)
    if result.face:
        mask = cut_out(mask, result.face)
    shares = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    sure = np.clip(shares, _SURE, 1 - _SURE)
    logits: NDArray[np.float32] = np.log(sure / (1 - sure))[None].astype(np.float32)
    return logits


def _check_mask(mask: NDArray[np.bool_], result: Result) -> None:
    expected = (result.picture.height, result.picture.width)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != expected:
        raise ArrayError(
            "the painted mask does not fit the picture",
            expected=f"bool {list(expected)}",
            found=f"{getattr(mask, 'dtype', type(mask).__name__)} {list(np.shape(mask))}",
            cure="paint at the picture's own size, as result.mask has it",
        )
