"""Built engines ("plans") beside their bundle: private, keyed, and verified before they are used.

A plan runs only on the GPU and with the runtime that it was built for. Its record, a JSON file
beside it, says for which, and holds its SHA-256; the bytes that were hashed are the bytes that the
runtime gets. Beside them lies which execution providers were accepted here, see `Acceptance`, and
the graphs of `prepared.py`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from ftsdk.bundle import Bundle
from ftsdk.engines.folder import EngineFolder, key_name
from ftsdk.errors import EngineCacheError, EngineMismatchError, EngineMissingError
from ftsdk.files import open_regular, read_regular, write_atomically
from ftsdk.strict import Matching, StrictError, Within, parsed

#: Raised when the way plans are built, or providers compared, changes: older ones do not count.
RECIPE = 1
#: Plans beyond this many bytes in one cache push the least recently used ones out.
MAX_BYTES = 64 << 30
#: Names of what a cache writes.
_OURS = re.compile(r"[a-z_]{1,40}-[0-9a-f]{20}\.(plan|json|onnx|weights)|[0-9a-f]{20}\.timings")
_DIGEST_BYTES = hashlib.sha256().digest_size
_Sha256 = Annotated[str, Matching("[0-9a-f]{64}")]


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """What a plan depends on; it is built again when any of it differs.

    Attributes:
        graph_sha256: of the stage's graph with its weights.
        runtime: name and full version, as `tensorrt_rtx 1.7.1.116`.
        gpu: compute capability, as `sm_89`, and the GPU's name where plans depend on it.
        precision: the stage's, as the manifest has it.
        profile: the shapes that the plan takes.
    """

    stage: Annotated[str, Matching("[a-z_]{1,40}")]
    graph_sha256: _Sha256
    runtime: str
    gpu: str
    precision: str
    profile: str
    recipe: int = RECIPE

    @property
    def name(self) -> str:
        """The plan's file name without its suffix."""
        return key_name(self.stage, self)


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """A built plan: what it is for, its bytes and how long it took."""

    key: EngineKey
    size: Annotated[int, Within(ge=0)]
    sha256: _Sha256
    build_seconds: Annotated[float, Within(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What it depends on that a provider answered as the CPU does; all of it must be the same.

    Attributes:
        bundle_sha256: of its manifest, which covers every file.
        runtime: the runtime, the provider's package and the hardware, with their versions.
        device: as `openvino:npu`.
        threads: threads inside one operator.
        drivers: as `machine.drivers` tells them.
    """

    bundle_sha256: _Sha256
    runtime: str
    device: str
    threads: int
    drivers: tuple[str, ...]
    recipe: int = RECIPE

    @property
    def name(self) -> str:
        """The note's file name without its suffix."""
        return key_name("accepted", self)


def graph_sha256(bundle: Bundle, stage: str) -> str:
    """Return one hash of a stage's graph and its weights, from the verified manifest."""
    hashes = [entry.sha256 for entry in bundle.manifest.graph_files(stage).values()]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


class EngineCache(EngineFolder):
    """The directory `BUNDLE.engines` beside a bundle, mode 0700.

    Args:
        folder: the directory; it is made when the first plan is stored.
        max_bytes: least recently used plans go when all together exceed this.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(folder)
        self._max_bytes = max_bytes

    @classmethod
    def beside(cls, bundle: Bundle | Path) -> EngineCache:
        """Return the cache of a bundle."""
        return cls(cls.path_beside(bundle))

    def store(self, key: EngineKey, plan: bytes | memoryview, build_seconds: float) -> EngineRecord:
        """Write a plan and then its record; a plan without one does not count.

        Raises:
            EngineCacheError: the directory is not private or cannot be written.
        """
        self.make()
        content = bytes(plan)
        digest = hashlib.sha256(content).hexdigest()
        record = EngineRecord(
            key=key, size=len(content), sha256=digest, build_seconds=build_seconds
        )
        try:
            write_atomically(self._plan(key), content)
            self.write_record(key.name, record)
        except OSError as error:
            raise self.unusable(f"nothing can be written: {error.strerror}") from error
        self._evict(keep=key.name)
        return record

    def load(self, key: EngineKey) -> bytes:
        """Return a plan's bytes, proven to be those that were built.

        Raises:
            EngineMissingError: none was built for this stage.
            EngineMismatchError: one was, for something else.
            EngineCacheError: its bytes or its record are not what was written.
        """
        if not self.record_path(key.name).is_file():
            raise self._missing(key)
        self.require_private()
        record = self.read_record(EngineRecord, key.name)
        try:
            with open_regular(self._plan(key)) as file:
                content = file.read()
        except OSError as error:
            raise self._damaged(key, "no readable plan") from error
        if record.key != key:
            raise self._damaged(key, f"a record of {record.key.stage} for {record.key.gpu}")
        if len(content) != record.size:
            raise self._damaged(key, f"{len(content)} bytes", f"{record.size} bytes")
        found = hashlib.sha256(content).hexdigest()
        if found != record.sha256:
            raise self._damaged(key, f"SHA-256 {found[:16]}", f"SHA-256 {record.sha256[:16]}")
        os.utime(self._plan(key))
        return content

    def store_timings(self, runtime: str, gpu: str, content: bytes) -> None:
        """Keep what TensorRT learnt while it built; nothing is written of nothing.

        Raises:
            EngineCacheError: the directory is not private or cannot be written.
        """
        if not content:
            return
        self.make()
        try:
            write_atomically(
                self._timings(runtime, gpu), hashlib.sha256(content).digest() + content
            )
        except OSError as error:
            raise self.unusable(f"nothing can be written: {error.strerror}") from error

    def load_timings(self, runtime: str, gpu: str) -> bytes:
        """Return what was kept of earlier builds; empty where nothing was, or it was altered.

        Raises:
            EngineCacheError: the directory is not private.
        """
        try:
            stored = read_regular(self._timings(runtime, gpu))
        except OSError:
            return b""
        self.require_private()
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        return content if hashlib.sha256(content).digest() == digest else b""

    def note(self, passed: Acceptance) -> None:
        """Remember that a provider answered as the CPU does.

        Raises:
            EngineCacheError: the directory is not private or cannot be written.
        """
        self.make()
        try:
            self.write_record(passed.name, passed)
        except OSError as error:
            raise self.unusable(f"nothing can be written: {error.strerror}") from error

    def has_noted(self, asked: Acceptance) -> bool:
        """Tell whether this very thing was noted, in a directory that nobody else can write."""
        try:
            content = read_regular(self.record_path(asked.name))
            self.require_private()
            return parsed(Acceptance, content) == asked
        except (OSError, StrictError, EngineCacheError):
            return False

    def has_plans(self) -> bool:
        """Tell whether any plan lies here, whatever it is for."""
        return any(self.folder.glob("*.plan"))

    def records(self) -> Iterator[EngineRecord]:
        """Yield every plan's record, least recently used first; unreadable ones are left out."""
        found = []
        for path in self.folder.glob("*.plan"):
            try:
                found.append((path.stat().st_mtime, self.read_record(EngineRecord, path.stem)))
            except (OSError, EngineCacheError):
                continue
        yield from (record for _, record in sorted(found, key=lambda pair: pair[0]))

    def faults(self) -> Iterator[EngineCacheError]:
        """Yield what is wrong with the directory, or with each plan in it."""
        if not self.folder.is_dir():
            return
        try:
            self.require_private()
        except EngineCacheError as error:
            yield error
            return
        # In the order of their last use, which `load` notes anew.
        for path in sorted(self.folder.glob("*.plan"), key=lambda plan: plan.stat().st_mtime_ns):
            try:
                key = self.read_record(EngineRecord, path.stem).key
                if key.name != path.stem:
                    raise self.unusable(f"{path.name} has the record of {key.name}")
                self.load(key)
            except EngineCacheError as error:
                yield error

    def clear(self) -> int:
        """Delete what was kept: plans, prepared graphs, records, timings; return the bytes freed.

        No link is followed: neither the directory itself nor what lies in it.

        Raises:
            EngineCacheError: the directory is a link, or not this user's.
        """
        if not os.path.lexists(self.folder):
            return 0
        self.require_own()
        freed = 0
        try:
            for folder in (self.unfinished, self.folder):
                freed += _emptied(folder)
        except OSError as error:
            raise self.unusable(f"it cannot be cleared: {error.strerror}") from error
        return freed

    def _evict(self, keep: str) -> None:
        records = [*self.records()]
        total = sum(record.size for record in records)
        for record in records:
            if total <= self._max_bytes:
                return
            if record.key.name != keep:
                self.record_path(record.key.name).unlink(missing_ok=True)
                self._plan(record.key).unlink(missing_ok=True)
                total -= record.size

    def _plan(self, key: EngineKey) -> Path:
        return self.folder / f"{key.name}.plan"

    def _timings(self, runtime: str, gpu: str) -> Path:
        name = hashlib.sha256(f"{runtime} {gpu}".encode()).hexdigest()[:20]
        return self.folder / f"{name}.timings"

    def _missing(self, key: EngineKey) -> EngineMissingError | EngineMismatchError:
        others = [record.key for record in self.records() if record.key.stage == key.stage]
        command = f"ft-export {self._bundle()} --engines {_target(key.gpu)}"
        if not others:
            return EngineMissingError(
                f"no engine of {key.stage} was built for this bundle",
                expected=f"a plan for {key.gpu} with {key.runtime}",
                found=f"none in {self.folder}",
                cure=f"run: {command}",
            )
        found = others[-1]
        names = [
            field.name
            for field in fields(EngineKey)
            if getattr(found, field.name) != getattr(key, field.name)
        ]
        return EngineMismatchError(
            f"the engine of {key.stage} was built for something else",
            expected=", ".join(f"{name} {_short(getattr(key, name))}" for name in names),
            found="built for "
            + ", ".join(f"{name} {_short(getattr(found, name))}" for name in names),
            cure=f"run: {command}",
        )

    def _damaged(self, key: EngineKey, found: str, expected: str = "") -> EngineCacheError:
        return EngineCacheError(
            f"the engine {self._plan(key).name} is not what was built",
            expected=expected or f"a plan of {key.stage} for {key.gpu} with {key.runtime}",
            found=found,
            cure=f"run: ft-doctor --clear-engines --bundle {self._bundle()}, then "
            f"ft-export {self._bundle()} --engines {_target(key.gpu)}",
        )

    def _bundle(self) -> str:
        return str(self.folder).removesuffix(".engines")


def _emptied(folder: Path) -> int:
    """Delete what a cache wrote into a directory, and it where nothing else is there."""
    if folder.is_symlink() or not folder.is_dir():
        return 0
    freed = 0
    for path in folder.iterdir():
        status = path.lstat()
        if _OURS.fullmatch(path.name) and stat.S_ISREG(status.st_mode):
            freed += status.st_size
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    return freed


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


def _target(gpu: str) -> str:
    return gpu if " " not in gpu else "this"
