"""Graphs as ONNX Runtime made them for this processor, kept beside their bundle and mapped.

What a session does with a graph before it can run (8-bit weights moved by half their range, 4-bit
ones transposed, all packed as the products read them) takes seconds a gigabyte. A prepared graph is
the result: the optimised graph, and a file of weights that the next session maps. The runtime packs
again in passing, and takes the file's bytes only where they are what it packed.

The record holds both files' SHA-256, and the seal of the weights, which are gigabytes: while that
file bears it, it is the one that was hashed; else it is hashed again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from ftsdk.bundle import Bundle, sha256_of
from ftsdk.engines.folder import EngineFolder, key_name
from ftsdk.errors import BundleFileAlteredError, EngineCacheError
from ftsdk.files import open_regular, sync
from ftsdk.manifest import FileEntry
from ftsdk.strict import Matching, Within
from ftsdk.verified import (
    BundleGraph,
    Seal,
    SealedFile,
    read_verified,
    require_seal,
    seal_verified,
)

#: Raised when the way graphs are prepared changes: older ones do not count.
RECIPE = 1
#: So many of one stage are kept, for two installations that take turns.
KEPT = 2


@dataclass(frozen=True, kw_only=True)
class GraphKey:
    """What a prepared graph depends on; it is made again when any of it differs.

    Attributes:
        graph_sha256: of the stage's graph with its weights.
        runtime: name and full version, as `onnxruntime 1.32.0`.
        build: what the runtime says of its own build.
        processor: maker, model and instructions, as `machine.processor` tells them.
        arithmetic: the session's settings that decide which numbers are computed.
    """

    stage: Annotated[str, Matching("[a-z_]{1,40}")]
    graph_sha256: Annotated[str, Matching("[0-9a-f]{64}")]
    runtime: str
    build: str
    processor: str
    arithmetic: dict[str, str]
    recipe: int = RECIPE

    @property
    def name(self) -> str:
        """The files' name without its suffix."""
        return key_name(self.stage, self)


@dataclass(frozen=True, kw_only=True)
class GraphRecord:
    """A prepared graph: what it is for, its files, and how long it took."""

    key: GraphKey
    graph: FileEntry
    weights: FileEntry
    seal: Seal
    build_seconds: Annotated[float, Within(ge=0)]


class PreparedGraphs(EngineFolder):
    """The prepared graphs in the directory `BUNDLE.engines` beside a bundle."""

    @classmethod
    def beside(cls, bundle: Bundle | Path) -> PreparedGraphs:
        """Return those of a bundle."""
        return cls(cls.path_beside(bundle))

    def load(self, key: GraphKey) -> BundleGraph | None:
        """Return what was prepared, proven to be that; None where nothing was.

        Raises:
            EngineCacheError: its files or its record are not what was written.
        """
        if not self.record_path(key.name).is_file():
            return None
        self.require_private()
        record = self.read_record(GraphRecord, key.name)
        if record.key != key:
            raise self.unusable(f"{key.name}.json is a record of {record.key.stage}")
        try:
            content = read_verified(self.graph_path(key.name), record.graph)
            weights = self._sealed(record)
        except BundleFileAlteredError as error:
            raise self._damaged(key, error) from error
        with contextlib.suppress(OSError):  # not ours to write: it is used all the same
            os.utime(self.record_path(key.name))
        return BundleGraph(f"{key.stage}.onnx", content, weights, is_prepared=True)

    @contextmanager
    def building(self) -> Iterator[Path | None]:
        """Yield an empty directory to prepare graphs in; None while another process does.

        What a killed process left there is removed.

        Raises:
            EngineCacheError: the directory is not private, or cannot be written.
        """
        import fcntl  # there is none on Windows

        self.make()
        place = self.unfinished
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not _locks(partial(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)):
                yield None
                return
            _remove(place)
            place.mkdir(mode=0o700)
            try:
                yield place
            finally:
                _remove(place)
        except OSError as error:
            raise self.unusable(f"nothing can be prepared: {error.strerror}") from error
        finally:
            os.close(handle)

    def store(self, key: GraphKey, place: Path, build_seconds: float) -> None:
        """Take in what was prepared in `place`, the record last; older ones of the stage go.

        A graph without a record does not count.

        Raises:
            OSError: it cannot be moved or written.
        """
        paths = self.graph_path(key.name), self.weights_path(key.name)
        self.record_path(key.name).unlink(missing_ok=True)
        entries = []
        for path in paths:
            made = place / path.name
            sync(made)
            entries.append(FileEntry(size=made.stat().st_size, sha256=sha256_of(made)))
            made.replace(path)
        sync(self.folder)
        with open_regular(paths[1]) as weights:
            seal = Seal.of(weights)
        graph, data = entries
        record = GraphRecord(
            key=key, graph=graph, weights=data, seal=seal, build_seconds=build_seconds
        )
        self.write_record(key.name, record)
        self._evict(key)

    def records(self) -> Iterator[GraphRecord]:
        """Yield every prepared graph's record, last used first; unreadable ones are left out."""
        found = []
        for path in self.folder.glob("*.weights"):
            with contextlib.suppress(OSError, EngineCacheError):
                record = self.read_record(GraphRecord, path.stem)
                found.append((self.record_path(path.stem).stat().st_mtime_ns, record))
        yield from (one for _, one in sorted(found, key=lambda pair: -pair[0]))

    def faults(self) -> Iterator[EngineCacheError]:
        """Yield what is wrong with each prepared graph, every byte read."""
        for path in sorted(self.folder.glob("*.weights")):
            try:
                record = self.read_record(GraphRecord, path.stem)
                read_verified(self.graph_path(path.stem), record.graph)
                seal_verified(path, record.weights)
                if record.key.name != path.stem:
                    raise self.unusable(f"{path.name} has the record of {record.key.name}")
            except BundleFileAlteredError as error:
                yield self._damaged(record.key, error)
            except EngineCacheError as error:
                yield error

    def graph_path(self, name: str) -> Path:
        """Return where the graph of that name is."""
        return self.folder / f"{name}.onnx"

    def weights_path(self, name: str) -> Path:
        """Return where its weights are."""
        return self.folder / f"{name}.weights"

    def _sealed(self, record: GraphRecord) -> SealedFile:
        """Return the weights, which are those that were hashed, or are hashed now."""
        path = self.weights_path(record.key.name)
        try:
            with open_regular(path) as file:
                require_seal(path, file, record.seal)
            return SealedFile(path, record.seal)
        except (OSError, BundleFileAlteredError):
            seal = seal_verified(path, record.weights)
        with contextlib.suppress(OSError):  # not ours to write: it is hashed at every load
            self.write_record(record.key.name, replace(record, seal=seal))
        return SealedFile(path, seal)

    def _evict(self, key: GraphKey) -> None:
        others = [one.key.name for one in self.records() if one.key.stage == key.stage]
        for name in [other for other in others if other != key.name][KEPT - 1 :]:
            for path in (self.record_path(name), self.graph_path(name), self.weights_path(name)):
                path.unlink(missing_ok=True)

    def _damaged(self, key: GraphKey, error: BundleFileAlteredError) -> EngineCacheError:
        return EngineCacheError(
            f"the prepared graph {key.name} is not what was made",
            expected=error.expected,
            found=error.found,
            cure="load the bundle on the CPU once more, which prepares it again, or run: "
            f"ft-doctor --clear-engines --bundle {str(self.folder).removesuffix('.engines')}",
        )


def _locks(lock: Callable[[], None]) -> bool:
    try:
        lock()
    except BlockingIOError:
        return False
    return True


def _remove(place: Path) -> None:
    if os.path.lexists(place):
        shutil.rmtree(place)
