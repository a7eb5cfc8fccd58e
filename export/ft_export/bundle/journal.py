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


class Progress(BaseModel):
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

    def resume(self, fingerprint: str) -> Progress:
        """Return what an export of this fingerprint has finished; nothing where there was none."""
        try:
            earlier = Progress.model_validate_json((self._folder / _STATE).read_bytes())
        except (OSError, ValueError):
            return Progress(fingerprint=fingerprint)
        return earlier if earlier.fingerprint == fingerprint else Progress(fingerprint=fingerprint)

    def tensors(self, progress: Progress) -> TensorDict:
        """Return every tensor that the finished stages left."""
        found: TensorDict = {}
        for stage in progress.stages:
            with np.load(self._folder / f"{stage}.npz", allow_pickle=False) as arrays:
                found |= dict(arrays)
        return found

    def record(
        self, progress: Progress, stage: str, tensors: Mapping[str, NDArray[np.generic]]
    ) -> None:
        """Add a finished stage; its tensors first, since the state says that they are there."""
        self._folder.mkdir(exist_ok=True)
        with (self._folder / f"{stage}.npz").open("wb") as file:
            np.savez(file, **tensors)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        write_atomically(self._folder / _STATE, progress.model_dump_json().encode())
