"""Analyses on disk: an SQLite index, and a directory of files for each.

A directory is written under a temporary name and renamed, then entered in the index; killed at any
moment, the index never names what is not whole.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.imaging.decode import decode
from ftsdk.imaging.faces import Box
from ftsdk.imaging.picture import Picture
from ftsdk.report.credentials import Credentials
from ftsdk.report.edits import Edit
from ftsdk.result import Provenance, Region, Result
from ftsdk.serve.analyses import Analysis, not_found
from ftsdk.serve.uploads import Upload

_SCHEMA = """
CREATE TABLE IF NOT EXISTS analyses (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL,
    score REAL, parent TEXT, nbytes INTEGER NOT NULL
)
"""
_PLAIN = (
    "mask_threshold", "region_probabilities", "report", "report_ids", "score", "score_threshold",
    "corrections", "limits", "timings", "operating_point",
)  # fmt: skip
_TUPLES = ("report_ids", "corrections", "limits")
_PROBABILITIES = "probabilities"
_TENSOR = "tensor:"
_ARRAYS = "arrays.{}.npz"


class DiskStore:
    """Everything that was ever analysed, until it is deleted."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._lock = threading.Lock()
        self._index = sqlite3.connect(directory / "index.sqlite3", check_same_thread=False)
        self._index.execute("PRAGMA journal_mode=WAL")
        self._index.execute(_SCHEMA)

    @property
    def nbytes(self) -> int:
        return int(self._select("SELECT COALESCE(SUM(nbytes), 0) FROM analyses")[0][0])

    def __len__(self) -> int:
        return int(self._select("SELECT COUNT(*) FROM analyses")[0][0])

    def put(self, analysis: Analysis) -> None:
        partial = self._directory / f"{analysis.id}.tmp"
        partial.mkdir(mode=0o700)
        try:
            _write(analysis, partial)
            partial.rename(self._directory / analysis.id)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        result = analysis.result
        made, picture = result.provenance, result.picture
        row = (analysis.id, made.created, picture.name, picture.sha256, result.score,
               analysis.parent, _size(self._directory / analysis.id))  # fmt: skip
        with self._lock, self._index:
            self._index.execute("INSERT INTO analyses VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def get(self, key: str) -> Analysis:
        if not self._select("SELECT 1 FROM analyses WHERE id = ?", key):
            raise not_found(key)
        try:
            return _read(self._directory / key)
        except FileNotFoundError as error:
            raise not_found(key) from error

    def delete(self, key: str) -> None:
        with self._lock, self._index:
            if not self._index.execute("DELETE FROM analyses WHERE id = ?", (key,)).rowcount:
                raise not_found(key)
        shutil.rmtree(self._directory / key, ignore_errors=True)

    def close(self) -> None:
        self._index.close()

    def _select(self, statement: str, *values: str) -> list[Any]:
        with self._lock:
            return self._index.execute(statement, values).fetchall()


def _write(analysis: Analysis, folder: Path) -> None:
    result = analysis.result
    document = {
        "id": analysis.id,
        "parent": analysis.parent,
        "name": result.picture.name,
        "edits": [asdict(edit) for edit in analysis.edits],
        "credentials": asdict(analysis.credentials),
        "faces": [_fields(face) for face in (result, *result.others)],
    }
    (folder / "original").write_bytes(analysis.original)
    (folder / "analysis.json").write_text(json.dumps(document), encoding="utf-8")
    for number, face in enumerate((result, *result.others)):
        arrays: dict[str, NDArray[Any]] = {
            _TENSOR + name: value for name, value in face.image_tensors.items()
        }
        arrays[_PROBABILITIES] = face.probabilities
        np.savez(folder / _ARRAYS.format(number), allow_pickle=False, **arrays)


def _fields(result: Result) -> dict[str, Any]:
    return {
        "regions": [asdict(region) for region in result.regions],
        "provenance": asdict(result.provenance),
        "face": asdict(result.face) if result.face else None,
        **{name: _plain(getattr(result, name)) for name in _PLAIN},
    }


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "items") else value


def _read(folder: Path) -> Analysis:
    document = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    original = (folder / "original").read_bytes()
    credentials = document["credentials"]
    credentials["facts"] = tuple(map(tuple, credentials["facts"]))
    return Analysis(
        id=document["id"],
        result=_result(document, original, folder),
        original=original,
        credentials=Credentials(**credentials),
        edits=tuple(_edit(edit) for edit in document["edits"]),
        parent=document["parent"],
    )


def _result(document: dict[str, Any], original: bytes, folder: Path) -> Result:
    picture = decode(Upload(original, document["name"]).open())
    first, *others = (
        _face(fields, picture, folder / _ARRAYS.format(number))
        for number, fields in enumerate(document["faces"])
    )
    return replace(first, others=tuple(others))


def _face(fields: dict[str, Any], picture: Picture, path: Path) -> Result:
    with np.load(path, allow_pickle=False) as arrays:
        tensors = {
            name.removeprefix(_TENSOR): arrays[name]
            for name in arrays.files
            if name.startswith(_TENSOR)
        }
        probabilities = arrays[_PROBABILITIES]
    plain = {name: fields[name] for name in _PLAIN}
    plain |= {name: tuple(plain[name]) for name in _TUPLES}
    return Result(
        picture=picture,
        face=Box(**fields["face"]) if fields["face"] else None,
        probabilities=probabilities,
        regions=tuple(Region(**region) for region in fields["regions"]),
        provenance=Provenance(**fields["provenance"]),
        image_tensors=tensors,
        **plain,
    )


def _edit(fields: dict[str, Any]) -> Edit:
    regions = fields["regions"]
    return Edit(**{**fields, "regions": None if regions is None else tuple(regions)})


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
