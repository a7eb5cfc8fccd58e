"""Rows as Parquet, in shards, each there whole or not at all.

    answers.parquet/
        part-000000.parquet     rows that are done; never written again, save by a retry
        _rows.jsonl             rows that are in no shard yet; its lock is the whole folder's

Readers of Parquet leave out what begins with `_`. A row is in the second file at once and whole,
and goes into a shard with thousands of others; if a kill comes between a shard and the emptying of
that file, the next run empties it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftsdk.batch.lines import Book, LineFile, of_another_folder
from ftsdk.batch.rows import Row, is_retried, name_in
from ftsdk.errors import InstallationError, OutputFormatError
from ftsdk.files import cannot_save, replacing

if TYPE_CHECKING:
    from pyarrow import Schema, Table

_WAITING = "_rows.jsonl"
_SHARD = re.compile(r"part-(\d{6,})\.parquet")
#: A shard is written when so many rows, or so many bytes of them as JSON, wait.
_MOST_ROWS, _MOST_BYTES = 4096, 32 << 20
#: What of a shard says what its rows are about.
_ABOUT = [
    "file", "file_bytes", "folder", "error", "left_out", "cannot_tell", "score", "score_threshold",
]  # fmt: skip


class Shards(Book):
    """A folder of shards under a lock.

    Raises:
        OutputFormatError: it holds something else than rows; it is left as it is.
        OutputLockedError: another process is writing to it.
        InstallationError: pyarrow is not installed.
    """

    def __init__(self, path: Path, folder: str, retry: Container[str]) -> None:
        super().__init__(path, folder)
        self._schema = _schema()
        path.mkdir(exist_ok=True)
        self._waiting = LineFile(path / _WAITING, folder, retry)
        try:
            self._read_all(retry)
        except BaseException:
            if not self._waiting.size:
                (path / _WAITING).unlink()
            self._waiting.close()
            raise
        self._rows = len(self._waiting.done)

    def _read_all(self, retry: Container[str]) -> None:
        shards = [path for path in sorted(self._path.iterdir()) if path.name != _WAITING]
        kept = {shard: self._read(shard, retry) for shard in shards if shard.name[0] != "."}
        for shard, stays in kept.items():
            if not all(stays):
                self._save(shard, _table(shard).filter(stays))
        if self.done.issuperset(self._waiting.done):
            self._waiting.clear()
        self.done |= self._waiting.done
        self.before.include(self._waiting.before)

    def _read(self, shard: Path, retry: Container[str]) -> list[bool]:
        """Count the rows of a shard, and return which of them are not to be made again."""
        if not _SHARD.fullmatch(shard.name):
            raise _foreign(shard, "a file of another name")
        with _told_as_foreign(shard):
            rows = [_without_nulls(row) for row in _table(shard, _ABOUT).to_pylist()]
            kept = [not is_retried(row, retry) for row in rows]
            for row, stays in zip(rows, kept, strict=True):
                if row.get("folder", self.folder) != self.folder:
                    raise of_another_folder(self._path, self.folder, row["folder"])
                if stays:
                    self.before.add(row)
                    self.done.add(name_in(row))
        return kept

    def _append(self, line: bytes) -> None:
        self._waiting.append(line)
        self._rows += 1
        if self._rows >= _MOST_ROWS or self._waiting.size >= _MOST_BYTES:
            self._seal()

    def _seal(self) -> None:
        """Make a shard of the rows that wait."""
        from pyarrow import Table

        numbers = [int(found[1]) for path in self._path.iterdir()
                   if (found := _SHARD.fullmatch(path.name))]  # fmt: skip
        shard = self._path / f"part-{max(numbers, default=-1) + 1:06}.parquet"
        with _told_as_foreign(self._path / _WAITING):
            lines = (self._path / _WAITING).read_bytes().splitlines()
            table = Table.from_pylist([*map(_for_table, lines)], self._schema)
        self._save(shard, table)
        self._waiting.clear()
        self._rows = 0

    def _save(self, shard: Path, table: Table) -> None:
        from pyarrow.parquet import write_table

        with replacing(shard) as temporary:
            write_table(table, temporary, compression="zstd")

    def close(self) -> None:
        try:
            if self._rows:
                self._seal()
            (self._path / _WAITING).unlink()
        except OSError as error:
            raise cannot_save(self._path, error) from error
        finally:
            self._waiting.close()


def _table(shard: Path, columns: list[str] | None = None) -> Table:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(shard) as file:
        return file.read(columns)


def _for_table(line: bytes) -> Row:
    """Return a row as Arrow takes it: a map is pairs."""
    row: Row = json.loads(line)
    for name in ("region_probabilities", "timings_ms"):
        if name in row:
            row[name] = [*row[name].items()]
    return row


def _without_nulls(row: dict[str, Any]) -> Row:
    """Return a row without what it has not; the scores of an answer are there all the same."""
    said = {key: value for key, value in row.items() if value is not None}
    if said.keys() & {"error", "left_out"}:
        return said
    return {"score": None, "score_threshold": None, **said}


@contextmanager
def _told_as_foreign(path: Path) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, LookupError, TypeError) as error:
        raise _foreign(path, " ".join(str(error).split())[:200]) from error


def _foreign(path: Path, found: str) -> OutputFormatError:
    return OutputFormatError(
        f"{path} is something else than answers of ft-batch",
        expected="shards that ft-batch wrote",
        found=found,
        cure="pass another --out; this one was left as it is",
    )


def _schema() -> Schema:
    """Return the columns of a shard: the fields of a row, in the types of docs/result.md."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise InstallationError(
            "Parquet needs pyarrow",
            expected="pyarrow",
            found=str(error),
            cure='pip install "ftsdk[ray]", or pass --out answers.jsonl',
        ) from error
    text, whole, real, truth = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    face = pa.struct({"x": whole, "y": whole, "side": whole, "angle": real})
    region = pa.struct({"name": text, "probability": real, "area": real})
    other = {
        "face": face, "finding": text, "suspected": truth, "score": real,
        "regions": pa.list_(region), "report": text, "warnings": pa.list_(text),
    }  # fmt: skip
    made_by = (
        "ftsdk", "bundle", "bundle_sha256", "precision", "runtime", "device", "picture_sha256",
        "created",
    )  # fmt: skip
    return pa.schema({
        "file": text, "file_bytes": text, "folder": text, "schema_version": whole,
        "error": pa.struct(dict.fromkeys(("class", "what", "expected", "found", "cure"), text)),
        "left_out": text,
        "picture": pa.struct({"name": text, "width": whole, "height": whole, "sha256": text}),
        "face": face, "finding": text,
        "cannot_tell": pa.struct({"reason": text, "detail": text}),
        "suspected": truth, "score": real, "score_threshold": real, "operating_point": text,
        "regions": pa.list_(region), "region_probabilities": pa.map_(text, real),
        "mask": pa.struct({"threshold": real, "area": real, "run_lengths": pa.list_(whole)}),
        "report": text, "others": pa.list_(pa.struct(other)), "corrections": pa.list_(text),
        "warnings": pa.list_(text), "timings_ms": pa.map_(text, real),
        "provenance": pa.struct(dict.fromkeys(made_by, text)),
    })  # fmt: skip
