"""Reads a data set in MMTT's layout: a record file, pictures, and masks of what was manipulated.

The record file is a JSON list or JSON lines. A mask may have any size and any two values: what is
brighter than half of its brightest pixel is manipulated. A picture without a mask, or whose mask
is black, is untouched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from ftsdk.errors import DataNotFoundError, OptionError, RecordError
from ftsdk.files import open_regular
from ftsdk.imaging.decode import decode
from ftsdk.imaging.picture import Picture

#: The record file's name when ft-forge wrote it.
RECORDS = "annotations.json"
#: Manipulated is what exceeds this share of the mask file's highest value.
MASK_LEVEL = 0.5

Mask = NDArray[np.bool_]
Bit = Annotated[int, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Record:
    """One line of a data set.

    Attributes:
        image_id: the picture's name.
        instance_id: the forgery's.
        img_path: relative to the record file or to the data set's folder.
        mask_path: likewise; None or empty where nothing was manipulated.
        caption: the reference report; empty if there is none.
        multilabel: 21 x 0/1, which regions are manipulated; None if unknown.
        attribute: the kind of forgery; None if unknown.
        source: where the picture comes from; None if unknown.
        forged: whether it was manipulated; None leaves it to the mask.
    """

    image_id: str | int
    instance_id: str | int
    img_path: str
    mask_path: str | None = None
    caption: str = ""
    multilabel: list[Bit] | None = None
    attribute: str | int | None = None
    source: str | None = None
    forged: bool | None = None


class MmttData:
    """A data set on disk; pictures and masks are read one at a time.

    Args:
        path: the record file, or the folder that holds it; in a folder `annotations.json` is
            preferred, otherwise the only .json or .jsonl file, one level down included.
        limit: read this many records, spread evenly over the file; None reads all.

    Raises:
        DataNotFoundError: no record file is there, or more than one.
        RecordError: the file is no list of records.
        OptionError: a limit below 1.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise OptionError(
                "There is nothing to read within that limit.",
                expected="1 or more",
                found=str(limit),
                cure="leave the limit out to read every record",
            )
        self.record_file = _find_record_file(path)
        above = path if path.is_dir() else path.parent.parent
        self._folders = (self.record_file.parent, above)
        self.records = spread(_read_records(self.record_file), limit)

    def picture(self, record: Record) -> Picture:
        """Return a record's picture.

        Raises:
            InputError: it is missing or does not decode.
        """
        return decode(self.picture_path(record))

    def picture_path(self, record: Record) -> Path:
        """Return where a record's picture lies, or would lie if it were there."""
        return self._resolve(record.img_path)

    def mask(self, record: Record) -> Mask | None:
        """Return the manipulated pixels [H, W] bool at the mask's own size; None if untouched.

        Raises:
            InputError: the mask is named and missing, or does not decode.
        """
        return self.read_mask(self._resolve(record.mask_path)) if record.mask_path else None

    @staticmethod
    def read_mask(path: Path) -> Mask | None:
        """Return the pixels [H, W] bool that a mask file marks; None if it marks none.

        Raises:
            InputError: it does not decode.
        """
        levels = decode(path).pixels.max(axis=2)
        mask: Mask = levels > MASK_LEVEL * levels.max()
        return mask if mask.any() else None

    def _resolve(self, path: str) -> Path:
        candidates = [folder / path for folder in self._folders]
        return next((found for found in candidates if found.is_file()), candidates[0])


def _find_record_file(path: Path) -> Path:
    for file in (path, path / RECORDS):
        if file.exists() and not file.is_dir():
            return file
    found = sorted(
        file
        for pattern in ("*.json", "*.jsonl", "*/*.json", "*/*.jsonl")
        for file in path.glob(pattern)
    )
    if len(found) == 1:
        return found[0]
    raise DataNotFoundError(
        f"{path} is no data set in MMTT's layout.",
        expected=f"a record file, or a folder with {RECORDS} or a single .json or .jsonl file",
        found=", ".join(str(file.relative_to(path)) for file in found[:10]) or "no such file",
        cure="pass the record file itself: ft-eval --data DIR/test.json",
    )


def _read_records(file: Path) -> list[Record]:
    records = [_record(entry, number, file) for number, entry in _entries(file)]
    if not records:
        raise RecordError(
            f"{file} holds no record.",
            expected="one record or more",
            found="none",
            cure="make a data set with ft-forge, or pass another record file",
        )
    return records


def _entries(file: Path) -> Iterator[tuple[int, Any]]:
    try:
        with open_regular(file) as opened:
            text = opened.read().decode("utf-8-sig")
        if text.lstrip().startswith("["):
            yield from enumerate(json.loads(text), start=1)
            return
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield number, json.loads(line)
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(
            f"{file} is not readable as records.",
            expected="a JSON list of records, or one record a line",
            found=str(error),
            cure="pass the record file; it has image_id, img_path and mask_path in each record",
        ) from error


_RECORD = TypeAdapter(Record)


def _record(entry: Any, number: int, file: Path) -> Record:
    try:
        return _RECORD.validate_python(entry)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the record"
        raise RecordError(
            f"Record {number} of {file} is not in MMTT's format.",
            expected="image_id, instance_id, img_path, and mask_path, caption, multilabel, "
            "attribute, source, forged where known",
            found=f"{field}: {first['msg']}",
            cure="correct the record, or leave the field out where it is not known",
        ) from error


def spread(records: list[Record], limit: int | None) -> list[Record]:
    """Return at most `limit` of `records`, spread evenly over them; None is no limit."""
    if limit is None or limit >= len(records):
        return records
    return [records[index * len(records) // limit] for index in range(limit)]
