"""The answer to one picture, and the forms in which it leaves: values, JSON, HTML, files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.answer import Answer
from ftsdk.errors import FtsdkError
from ftsdk.text import json_text, path_of

if TYPE_CHECKING:
    from ftsdk.files import Inputs
    from ftsdk.report.edits import Edit

SCHEMA_VERSION = 2


@dataclass(frozen=True, eq=False, repr=False)
class Result(Answer):
    """Where a picture may have been manipulated, and why, to be kept or shown.

    What it holds, see `Answer`.

    Examples:
        >>> result = ftsdk.analyze("face.jpg")
        >>> print(result.finding, result.report, result.warnings)
        >>> result.mask.shape == (result.picture.height, result.picture.width)
        True
        >>> paths = result.save("answers/")
        >>> page = result.to_html("report.html", analyst="Ada", original="face.jpg")
    """

    others: tuple[Result, ...] = ()

    def _repr_html_(self) -> str:
        """Return what a notebook shows: finding, report and overlay."""
        from ftsdk.report.figures import cell

        return cell(self)

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
            "suspected": self.suspected,
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
            "suspected": self.suspected,
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
            ImageNotFoundError: `original` cannot be read.
            OverwriteError: `path` is the analysed file.
            OutputError: it cannot be written.
        """
        from ftsdk.files import Inputs, saving
        from ftsdk.imaging.decode import not_found
        from ftsdk.report.credentials import NOT_HANDED_IN
        from ftsdk.report.page import credentials_of, render

        inputs = Inputs(self._files(original))
        if isinstance(original, str | Path):
            try:
                original = Path(original).read_bytes()
            except OSError as error:
                cure = "Say where the analysed file is now, or leave original out."
                raise not_found(str(original), error.strerror or str(error), cure) from error
        found = NOT_HANDED_IN if original is None else credentials_of(self, original)
        document = render(self, found, analyst=analyst, edits=edits)
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
    """Return the lengths of the runs of `mask` [H, W] bool in raster order, first a run of False.

    The first length is 0 when the first pixel is True; the lengths add up to H x W.
    """
    flat = mask.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], edges, [flat.size]))
    lengths: list[int] = np.diff(bounds).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths
