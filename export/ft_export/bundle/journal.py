"""What an export has finished, on disk, so that one that was killed goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ftsdk.files import write_atomically
from ftsdk.manifest import GateEntry, StageEntry, TextGateEntry

TensorDict = dict[str, NDArray[np.generic]]
_STATE = "state.json"


class Finished(BaseModel):
    """The finished stages and what was measured of them.

    Attributes:
        fingerprint: what is exported, how, and by which versions.
        used: names of the weights that the finished stages read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fingerprint: str
    stages: dict[str, StageEntry] = {}
    gate: tuple[GateEntry, ...] = ()
    report_ids: tuple[int, ...] = ()
    text_gate: TextGateEntry | None = None
    used: tuple[str, ...] = ()


class Journal:
    """A directory with one state file and one tensor file a stage.

    Args:
        folder: where they lie; made when the first stage is recorded.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def resume(self, fingerprint: str) -> Finished:
        """Return what an export of this fingerprint has finished; nothing where there was none."""
        try:
            earlier = Finished.model_validate_json((self._folder / _STATE).read_bytes())
        except (OSError, ValueError):
            return Finished(fingerprint=fingerprint)
        return earlier if earlier.fingerprint == fingerprint else Finished(fingerprint=fingerprint)

    def tensors(self, finished: Finished) -> TensorDict:
        """Return what the finished stages made of the golden picture, by tensor name."""
        found: TensorDict = {}
        for stage in finished.stages:
            with np.load(self._folder / f"{stage}.npz", allow_pickle=False) as arrays:
                found |= dict(arrays)
        return found

    def record(
        self, finished: Finished, stage: str, tensors: Mapping[str, NDArray[np.generic]]
    ) -> None:
        """Add a finished stage and its output tensors, of any shape, by name.

        The tensors are written first, since the state says that they are there.
        """
        self._folder.mkdir(exist_ok=True)
        _save(self._folder / f"{stage}.npz", tensors)
        write_atomically(self._folder / _STATE, finished.model_dump_json().encode())

    @property
    def reports(self) -> ReportTensors:
        """What the language encoder made of the reports."""
        return ReportTensors(self._folder / "reports")


class ReportTensors:
    """What a language encoder made of each report: keys and values, a file a report.

    They are for the decoder, 50 MB each at the published size, and so never in memory all at once.

    Args:
        folder: where the files lie; made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, side: str, report: int, tensors: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep keys [1, heads, d_kv, S] and values [1, heads, S, d_kv] float32 of one report.

        `side` says which language model made them, `report` which of its reports they are of.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        _save(self._path(side, report), tensors)

    def read(self, side: str, report: int) -> TensorDict:
        """Return what `write` was given."""
        with np.load(self._path(side, report), allow_pickle=False) as arrays:
            return dict(arrays)

    def _path(self, side: str, report: int) -> Path:
        return self._folder / f"{side}-{report}.npz"


def _save(path: Path, tensors: Mapping[str, NDArray[np.generic]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **tensors)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
