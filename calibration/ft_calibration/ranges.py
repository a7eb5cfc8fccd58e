"""INT8 activation ranges: observed on pictures, cut by a rule, bound to model and pictures.

A range is the magnitude that INT8's 127 stands for; all ranges are symmetric about zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ft_forge.mmtt import MmttData
from ftsdk.bundle import sha256_of
from ftsdk.errors import DataNotFoundError, RangesError
from ftsdk.files import write_atomically
from ftsdk.imaging.decode import PICTURE_SUFFIXES
from ftsdk.text import problems

Rule = Literal["minmax", "percentile", "entropy"]

#: The share of magnitudes that a percentile range covers.
PERCENTILE = 0.9999
LEVELS = 128
_BINS = 2048
_SHA256 = r"^[0-9a-f]{64}$"


class Histogram:
    """Magnitudes of one tensor over any number of arrays, in 2048 equal bins.

    Attributes:
        peak: the largest magnitude seen.
    """

    def __init__(self) -> None:
        self.peak = 0.0
        self._top = 0.0
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, values: NDArray[np.floating]) -> None:
        """Count an array of any shape; the bins double in width until they reach its peak."""
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        peak = float(magnitudes.max(initial=0.0))
        self.peak = max(self.peak, peak)
        if peak == 0.0:
            self._counts[0] += magnitudes.size
            return
        self._top = self._top or peak
        while peak > self._top:
            self._counts[: _BINS // 2] = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts[_BINS // 2 :] = 0
            self._top *= 2
        self._counts += np.histogram(magnitudes, _BINS, (0.0, self._top))[0]

    def limit(self, rule: Rule) -> float:
        """Return the magnitude that 127 should stand for; 0 where all that was seen is zero."""
        if rule == "minmax" or self.peak == 0.0:
            return self.peak
        bins = self._percentile_bins() if rule == "percentile" else self._entropy_bins()
        return min(self.peak, bins * self._top / _BINS)

    def noise(self, limit: float) -> float:
        """Return the power of INT8's error relative to the signal's, for ranges of `limit`."""
        centres = (np.arange(_BINS) + 0.5) * self._top / _BINS
        signal = float(np.sum(self._counts * centres**2))
        if signal == 0.0:
            return 0.0
        clipped = np.maximum(centres - limit, 0.0)
        rounding = (limit / (LEVELS - 1)) ** 2 / 12
        return float(np.sum(self._counts * (clipped**2 + rounding * (clipped == 0)))) / signal

    def _percentile_bins(self) -> int:
        share = np.cumsum(self._counts) / self._counts.sum()
        return int(np.searchsorted(share, PERCENTILE)) + 1

    def _entropy_bins(self) -> int:
        """Return how many bins lose least information in 128 levels.

        Migacz, "8-bit Inference with TensorRT", GTC 2017: least KL divergence between the
        clipped histogram and the same one after rounding to the levels.
        """
        used = int(np.flatnonzero(self._counts)[-1]) + 1
        candidates = range(LEVELS, max(used, LEVELS) + 1, 16)
        return min(candidates, key=lambda bins: _divergence(self._counts, bins))


def _divergence(counts: NDArray[np.int64], bins: int) -> float:
    reference = counts[:bins].astype(np.float64)
    reference[-1] += counts[bins:].sum()
    level = np.arange(bins) * LEVELS // bins
    filled = counts[:bins] > 0
    total = np.bincount(level, counts[:bins], LEVELS)
    share = np.bincount(level, filled, LEVELS)
    rounded = np.where(filled, (total / np.maximum(share, 1))[level], 0.0)
    if rounded.sum() == 0:
        return np.inf
    p, q = reference / reference.sum(), rounded / rounded.sum()
    seen = p > 0
    return float(np.sum(p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-12))))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Range(_Strict):
    """What INT8 makes of one activation: the magnitude that it ends at, and the error it makes.

    Attributes:
        limit: the magnitude that 127 stands for.
        noise: the power of INT8's error relative to the tensor's own.
    """

    limit: float = Field(ge=0)
    noise: float = Field(ge=0)


class StageRanges(_Strict):
    """One stage's ranges by tensor name, and the float32 graph that they were observed in."""

    graph_sha256: str = Field(pattern=_SHA256)
    tensors: dict[str, Range]


class Ranges(_Strict):
    """What was observed, on what: the content of `calibration/ranges.json`."""

    ranges_version: Literal[1] = 1
    rule: Rule
    pictures: int = Field(gt=0)
    data_sha256: str = Field(pattern=_SHA256)
    stages: dict[str, StageRanges]

    def of_graph(self, stage: str, graph_sha256: str) -> dict[str, Range]:
        """Return the ranges of a stage's activations, by tensor name.

        Raises:
            RangesError: they were observed in another graph.
        """
        observed = self.stages.get(stage)
        if observed is None or observed.graph_sha256 != graph_sha256:
            found = "no ranges" if observed is None else f"ranges of {observed.graph_sha256[:12]}"
            raise _stale(f"the stage {stage}", f"ranges of the graph {graph_sha256[:12]}", found)
        return observed.tensors

    def require_pictures(self, data_sha256: str) -> None:
        """Raise RangesError unless the ranges were observed on these pictures."""
        if data_sha256 != self.data_sha256:
            expected = f"ranges of the pictures {data_sha256[:12]}"
            raise _stale("these pictures", expected, f"of {self.data_sha256[:12]}")


def _stale(what: str, expected: str, found: str) -> RangesError:
    return RangesError(
        f"the INT8 ranges are not those of {what}",
        expected=expected,
        found=found,
        cure="observe them again: leave --ranges out and pass --calibration PICTURES",
    )


def write_ranges(path: Path, ranges: Ranges) -> None:
    """Write the ranges as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, ranges.model_dump_json(indent=1).encode() + b"\n")


def read_ranges(path: Path) -> Ranges:
    """Read what `write_ranges` wrote.

    Raises:
        RangesError: the file is missing or is not valid.
    """
    try:
        return Ranges.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        found = problems(error) if isinstance(error, ValidationError) else str(error.strerror)
        raise RangesError(
            f"{path} holds no INT8 ranges",
            expected="calibration/ranges.json of a bundle",
            found=found[:400],
            cure="observe ranges: leave --ranges out and pass --calibration PICTURES",
        ) from error


def calibration_pictures(path: Path, limit: int) -> list[Path]:
    """Return at most `limit` pictures, spread evenly over a folder or an MMTT-format data set.

    Raises:
        DataNotFoundError: there is no picture.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES)
    if any(path.glob("*.json")) or any(path.glob("*.jsonl")):
        data = MmttData(path)
        files = [data.picture_path(record) for record in data.records]
    if not files:
        raise DataNotFoundError(
            f"{path} holds no pictures to calibrate with",
            expected=f"files ending in {', '.join(sorted(PICTURE_SUFFIXES))}, or a data set that "
            "ft-forge wrote",
            found="no such file",
            cure="pass --calibration a folder of typical pictures; 16 to 64 are enough",
        )
    count = min(limit, len(files))
    return [files[index * len(files) // count] for index in range(count)]


def data_sha256(pictures: Sequence[Path]) -> str:
    """Return a hash of the pictures' contents, in their order; their names do not matter."""
    return hashlib.sha256("".join(map(sha256_of, pictures)).encode()).hexdigest()
