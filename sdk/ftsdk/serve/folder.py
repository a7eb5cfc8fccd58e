"""One analysis as a directory of files: the original, the answer, and every face's arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ftsdk.answer import Provenance, Region
from ftsdk.files import sync
from ftsdk.imaging.framing import Box
from ftsdk.imaging.picture import Picture
from ftsdk.report.credentials import Credentials
from ftsdk.report.edits import Edit
from ftsdk.result import Result
from ftsdk.serve.analyses import Analysis
from ftsdk.serve.picture_file import Upload
from ftsdk.validity import CannotTell, Reason

_PLAIN = (
    "mask_threshold", "region_probabilities", "report", "report_ids", "score", "score_threshold",
    "corrections", "limits", "timings", "operating_point",
)  # fmt: skip
_TUPLES = ("report_ids", "corrections", "limits")
_PROBABILITIES = "probabilities"
_TENSOR = "tensor:"
_ANSWER = "analysis.json"
_ORIGINAL = "original"
_ARRAYS = "arrays.{}.npz"


def write(analysis: Analysis, folder: Path) -> None:
    """Write an analysis into an empty directory; all of it is on the disk on return.

    Raises:
        OSError: no room, or no right to.
    """
    result = analysis.result
    document = {
        "id": analysis.id,
        "parent": analysis.parent,
        "name": result.picture.name,
        "edits": [asdict(edit) for edit in analysis.edits],
        "credentials": asdict(analysis.credentials),
        "faces": [_fields(face) for face in analysis.faces],
    }
    _save(folder / _ORIGINAL, lambda file: file.write(analysis.original))
    _save(folder / _ANSWER, lambda file: file.write(json.dumps(document).encode()))
    for number, face in enumerate(analysis.faces):
        arrays: dict[str, NDArray[Any]] = {
            _TENSOR + name: value for name, value in face.image_tensors.items()
        }
        arrays[_PROBABILITIES] = face.probabilities
        _save(folder / _ARRAYS.format(number), lambda file, arrays=arrays: _savez(file, arrays))  # type: ignore[misc]
    sync(folder)


def read(folder: Path, decode: Callable[[BinaryIO], Picture]) -> Analysis:
    """Return the analysis that a directory holds; `decode` makes a picture of its original.

    Raises:
        OSError, ValueError, KeyError, TypeError: it holds something else.
    """
    document = json.loads((folder / _ANSWER).read_bytes())
    original = (folder / _ORIGINAL).read_bytes()
    credentials = document["credentials"]
    credentials["facts"] = tuple(map(tuple, credentials["facts"]))
    return Analysis(
        id=document["id"],
        result=_result(document, decode(Upload(original, document["name"]).open()), folder),
        original=original,
        credentials=Credentials(**credentials),
        edits=tuple(_edit(edit) for edit in document["edits"]),
        parent=document["parent"],
    )


def index_row(folder: Path) -> tuple[Any, ...]:
    """Return what the index says of a directory: id, time, name, SHA-256, score, parent, bytes.

    Raises:
        OSError, ValueError, KeyError, TypeError: it holds no analysis.
    """
    document = json.loads((folder / _ANSWER).read_bytes())
    first = document["faces"][0]
    made = first["provenance"]
    return (document["id"], made["created"], document["name"], made["picture_sha256"],
            first["score"], document["parent"], nbytes(folder))  # fmt: skip


def nbytes(folder: Path) -> int:
    """Return how many bytes the files of a directory have."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _save(path: Path, write_to: Callable[[BinaryIO], object]) -> None:
    with path.open("xb") as file:
        write_to(file)
        file.flush()
        os.fsync(file.fileno())


def _savez(file: BinaryIO, arrays: dict[str, NDArray[Any]]) -> None:
    np.savez(file, allow_pickle=False, **arrays)


def _fields(result: Result) -> dict[str, Any]:
    return {
        "regions": [asdict(region) for region in result.regions],
        "provenance": asdict(result.provenance),
        "face": asdict(result.face) if result.face else None,
        "cannot_tell": asdict(result.cannot_tell) if result.cannot_tell else None,
        **{name: _plain(getattr(result, name)) for name in _PLAIN},
    }


def _cannot_tell(fields: dict[str, Any] | None) -> CannotTell | None:
    return CannotTell(Reason(fields["reason"]), fields["detail"]) if fields else None


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "items") else value


def _result(document: dict[str, Any], picture: Picture, folder: Path) -> Result:
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
        cannot_tell=_cannot_tell(fields["cannot_tell"]),
        probabilities=probabilities,
        regions=tuple(Region(**region) for region in fields["regions"]),
        provenance=Provenance(**fields["provenance"]),
        image_tensors=tensors,
        **plain,
    )


def _edit(fields: dict[str, Any]) -> Edit:
    regions = fields["regions"]
    return Edit(**{**fields, "regions": None if regions is None else tuple(regions)})
