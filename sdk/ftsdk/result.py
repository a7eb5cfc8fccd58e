"""The answer to one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.decision import EMPTY_SHARE, cut_mask
from ftsdk.errors import FtsdkError
from ftsdk.imaging.framing import Box
from ftsdk.imaging.picture import Picture
from ftsdk.text import json_text, path_of
from ftsdk.validity import CannotTell

if TYPE_CHECKING:
    from ftsdk.files import Inputs
    from ftsdk.report.edits import Edit

SCHEMA_VERSION = 2
#: Side in px at which the mask of a face inside a larger picture is held against regions.
_FACE_SIDE = 256


@dataclass(frozen=True)
class Region:
    """A part of the face that may have been manipulated.

    Attributes:
        name: one of the bundle's labels.
        probability: the model's own, 0 to 1, also where a user chose the region.
        area: share of the region's usual place in an aligned face that the mask covers, 0 to 1;
            None before the mask is known.

    Examples:
        >>> for region in ftsdk.analyze("face.jpg").regions:
        ...     print(region.name, region.probability, region.area)
    """

    name: str
    probability: float
    area: float | None = None


@dataclass(frozen=True)
class Provenance:
    """What made this answer, so that it can be made again."""

    ftsdk: str
    bundle: str
    bundle_sha256: str
    precision: str
    runtime: str
    device: str
    picture_sha256: str
    created: str


@dataclass(frozen=True)
class Result:
    """Where a picture may have been manipulated, and why.

    Of several faces this is the most suspicious one's answer, but `mask` and `score` are of all.

    Attributes:
        picture: the picture as it was analysed, EXIF orientation applied.
        face: the square that the model looked at, in px; None for the whole picture.
        probabilities: manipulation probability of the whole picture at the model's resolution,
            [M, M] float32, or of the picture's own aspect ratio and 0 outside the face.
        mask_threshold: cut between the mask and the rest.
        regions: the suspicious regions, in label order.
        region_probabilities: every label's probability.
        report: the text; None if none was asked for.
        report_ids: its token ids, the start token first; empty without a report.
        score: calibrated likelihood of manipulation, 0 to 1; None if the model has none, or where
            there is no answer.
        score_threshold: the operating point that `finding` uses; None without a score.
        corrections: what a user decided in the model's place: `regions`, `mask`, both or nothing.
        limits: what limits every answer to this picture by this model.
        timings: milliseconds by step; `total` is their sum.
        provenance: what made this answer.
        image_tensors: what `Analyzer.refine` needs of the picture, by tensor name.
        others: the answers to the picture's other faces, each of its own mask and score.
        operating_point: name of the rule that `score_threshold` follows, such as `fpr_0.05`.
        cannot_tell: why there is no answer: then no score, no regions, no report, and an empty
            mask; None where there is one.

    Examples:
        >>> result = ftsdk.analyze("face.jpg")
        >>> print(result.finding, result.report, result.warnings)
        >>> result.mask.shape == (result.picture.height, result.picture.width)
        True
        >>> paths = result.save("answers/")
        >>> page = result.to_html("report.html", analyst="Ada", original="face.jpg")
    """

    picture: Picture
    face: Box | None
    probabilities: NDArray[np.float32]
    mask_threshold: float
    regions: tuple[Region, ...]
    region_probabilities: Mapping[str, float]
    report: str | None
    report_ids: tuple[int, ...]
    score: float | None
    score_threshold: float | None
    corrections: tuple[str, ...]
    limits: tuple[str, ...]
    timings: Mapping[str, float]
    provenance: Provenance
    image_tensors: Mapping[str, NDArray[np.generic]] = field(repr=False, compare=False)
    others: tuple[Result, ...] = ()
    operating_point: str | None = None
    cannot_tell: CannotTell | None = None

    @cached_property
    def heatmap(self) -> NDArray[np.float32]:
        """Manipulation probability [H, W] float32 at the picture's own size."""
        from ftsdk.imaging.mask import heatmap

        return heatmap(self.probabilities, self.picture.height, self.picture.width)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Manipulated pixels [H, W] bool at the picture's own size."""
        from ftsdk.imaging.mask import cut

        picture = self.picture
        return cut(self.probabilities, picture.height, picture.width, self.mask_threshold)

    @cached_property
    def face_mask(self) -> NDArray[np.bool_]:
        """Manipulated pixels [S, S] bool of what the model looked at, squared."""
        from ftsdk.imaging.framing import cut_out

        if self.face is None:
            return cut_mask(self.probabilities, self.mask_threshold)
        inside = cut_out(self.mask, self.face)
        rows = np.arange(_FACE_SIDE) * self.face.side // _FACE_SIDE
        return inside[np.ix_(rows, rows)]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What limits this answer, and what of the report the mask does not bear out."""
        from ftsdk.claims import claim_warning

        unborne = claim_warning(self.report or "", self.face_mask)
        return (*self.limits, unborne) if unborne else self.limits

    @property
    def finding(self) -> str:
        """One plain sentence that claims no more than the model does."""
        if self.cannot_tell:
            return f"Cannot tell. {self.cannot_tell.detail}"
        share = float(cut_mask(self.probabilities, self.mask_threshold).mean())
        where = f"the mask covers {share:.1%} of the picture" if share else "the mask is empty"
        if self.score is None or self.score_threshold is None:
            return f"This model gives no overall score; {where}."
        if self.score >= self.score_threshold:
            return f"Manipulation suspected (score {self.score:.2f}); {where}."
        below = f"score {self.score:.2f}, below the threshold of {self.score_threshold:.2f}"
        if share >= EMPTY_SHARE:
            return f"Weak signs only ({below}); {where}."
        return f"No manipulation found ({below}); {where}."

    def plot(self) -> NDArray[np.uint8]:
        """Return the picture with mask and outline drawn over it, [H, W, 3] uint8 BGR."""
        from ftsdk.imaging.drawing import overlay

        return overlay(self.picture.pixels, self.heatmap, self.mask)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain values, in the schema of `docs/result.md`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "picture": {
                "name": self.picture.name,
                "width": self.picture.width,
                "height": self.picture.height,
                "sha256": self.picture.sha256,
            },
            "face": asdict(self.face) if self.face else None,
            "finding": self.finding,
            "cannot_tell": asdict(self.cannot_tell) if self.cannot_tell else None,
            "score": self.score,
            "score_threshold": self.score_threshold,
            "operating_point": self.operating_point,
            "regions": [asdict(region) for region in self.regions],
            "region_probabilities": dict(self.region_probabilities),
            "mask": {
                "threshold": self.mask_threshold,
                "area": float(self.mask.mean()),
                "run_lengths": run_lengths(self.mask),
            },
            "report": self.report,
            "others": [other._beside() for other in self.others],
            "corrections": list(self.corrections),
            "warnings": [*self.picture.notes, *self.warnings],
            "timings_ms": {step: round(ms, 3) for step, ms in self.timings.items()},
            "provenance": asdict(self.provenance),
        }

    def _beside(self) -> dict[str, Any]:
        """Return what is told of a face beside the most suspicious one."""
        return {
            "face": asdict(self.face) if self.face else None,
            "finding": self.finding,
            "score": self.score,
            "regions": [asdict(region) for region in self.regions],
            "report": self.report,
            "warnings": list(self.warnings),
        }

    def to_json(self, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON text.

        Args:
            indent: spaces a level; None is one line.
        """
        return json_text(self.to_dict(), indent)

    def to_html(
        self,
        path: str | Path | None = None,
        *,
        analyst: str | None = None,
        edits: Sequence[Edit] = (),
        original: bytes | str | Path | None = None,
    ) -> str:
        """Return the report as one HTML document that needs no network, and write it to `path`.

        Args:
            path: where to write it, whole or not at all; None writes nothing.
            analyst: a name to print on it; nothing proves it.
            edits: who corrected what, and when.
            original: the analysed file or its bytes, to be read for Content Credentials.

        Raises:
            OptionError: `original` is another file than the one that was analysed.
            OverwriteError: `path` is the analysed file.
            OutputError: it cannot be written.
        """
        from ftsdk.files import Inputs, saving
        from ftsdk.report.page import render

        inputs = Inputs(self._files(original))
        if isinstance(original, str | Path):
            original = Path(original).read_bytes()
        document = render(self, analyst=analyst, edits=edits, original=original)
        if path is not None:
            with saving(Path(path), inputs) as file:
                file.write_bytes(document.encode())
        return document

    def save(
        self, directory: str | Path, name: str | None = None, *, inputs: Inputs | None = None
    ) -> dict[str, Path]:
        """Write overlay, mask and heat map as PNG and the answer as JSON; return their paths.

        All four are there in the end, or none of them is new.

        Args:
            directory: where; it is made if need be.
            name: files are called `{name}.overlay.png` and so on. None is the picture's name, or,
                for what has none, its kind and the first digits of its SHA-256.
            inputs: files that must not be replaced, beside the analysed one.

        Raises:
            OverwriteError: one of them would replace the analysed file, or one of `inputs`.
            OutputError: they cannot be written.
        """
        from ftsdk.files import Inputs, cannot_save, saving
        from ftsdk.imaging.drawing import colour_heatmap
        from ftsdk.imaging.encode import encode_png

        folder, stem = Path(directory), name or self._stem()
        contents = {
            "overlay.png": encode_png(self.plot()),
            "mask.png": encode_png(self.mask.astype(np.uint8) * 255),
            "heatmap.png": encode_png(colour_heatmap(self.heatmap)),
            "json": self.to_json().encode(),
        }
        paths = {kind: folder / path_of(f"{stem}.{kind}") for kind in contents}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_save(folder, error) from error
        own = Inputs(self._files(None))
        with ExitStack() as files:
            for kind, path in paths.items():
                own.refuse(path)
                files.enter_context(saving(path, inputs)).write_bytes(contents[kind])
        return {kind.removesuffix(".png"): path for kind, path in paths.items()}

    def _stem(self) -> str:
        name = Path(self.picture.name)
        if self.picture.path or name.suffix:
            return name.stem
        return f"{name}-{self.picture.sha256[:12]}"

    def _files(self, original: bytes | str | Path | None) -> list[Path]:
        named = [Path(original)] if isinstance(original, str | Path) else []
        return named if self.picture.path is None else [*named, self.picture.path]


@dataclass(frozen=True)
class Failure:
    """A picture of a batch that could not be analysed.

    Attributes:
        name: its path, or its number in the batch, from 0.
        error: why.

    Examples:
        >>> with ftsdk.Analyzer() as analyzer:
        ...     for answer in analyzer.analyze_many(["face.jpg", "nowhere.jpg"]):
        ...         if isinstance(answer, ftsdk.Failure):
        ...             print(answer.name, answer.error.cure)
    """

    name: str
    error: FtsdkError


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of the runs of `mask` in raster order, first a run of False.

    The first length is 0 when the first pixel is True; the lengths add up to H x W.
    """
    flat = mask.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], edges, [flat.size]))
    lengths: list[int] = np.diff(bounds).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths
