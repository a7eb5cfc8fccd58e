"""Folders of untouched and forged pictures as a data set, with masks where they are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ft_forge.mmtt import Mask, MmttData, Record
from ftsdk.errors import DataNotFoundError
from ftsdk.imaging.decode import PICTURE_SUFFIXES, decode
from ftsdk.imaging.picture import Picture


class PictureData(Protocol):
    """A data set whose truth is known, read one picture at a time."""

    records: list[Record]

    def picture(self, record: Record) -> Picture:
        """Return a record's picture."""

    def mask(self, record: Record) -> Mask | None:
        """Return the manipulated pixels [H, W] bool at the mask's own size; None if unknown."""


class FolderData:
    """Pictures in folders: nothing but where a picture lies says what it is.

    A picture's source is the first folder below the one that was named, else that one. Forged
    pictures have that name as their family too.

    Args:
        untouched: folders of untouched pictures.
        forged: folders of forged ones.
        masks: a folder with a mask for some forged pictures: the same path below it as the picture
            has below its folder, whatever the suffix.

    Raises:
        DataNotFoundError: a folder holds no picture, or `masks` no mask of one.

    Example:
        >>> data = FolderData([Path("photographs")], [Path("swaps")], Path("masks"))
    """

    def __init__(
        self, untouched: Sequence[Path], forged: Sequence[Path] = (), masks: Path | None = None
    ) -> None:
        self.records = [
            record
            for folders, is_forged in ((untouched, False), (forged, True))
            for folder in folders
            for record in _records(folder, is_forged, masks if is_forged else None)
        ]
        if masks is not None and not self.masked:
            raise DataNotFoundError(
                f"{masks} holds no mask of a forged picture.",
                expected="a picture at the same path below it as one has below its forged folder",
                found=f"none for {len(self.forged)} forged pictures",
                cure="name the masks as the pictures are named; a mask's suffix does not matter",
            )

    @property
    def forged(self) -> list[Record]:
        """The records of forged pictures."""
        return [record for record in self.records if record.forged]

    @property
    def masked(self) -> list[Record]:
        """Those of them whose mask is known."""
        return [record for record in self.forged if record.mask_path]

    def picture(self, record: Record) -> Picture:
        """Return a record's picture; raises InputError where it does not decode."""
        return decode(Path(record.img_path))

    def mask(self, record: Record) -> Mask | None:
        """Return the manipulated pixels [H, W] bool at the mask's own size; None if unknown.

        Raises:
            InputError: the mask does not decode.
        """
        return MmttData.read_mask(Path(record.mask_path)) if record.mask_path else None


def _records(folder: Path, forged: bool, masks: Path | None) -> Iterator[Record]:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES]
    if not files:
        raise DataNotFoundError(
            f"{folder} holds no picture.",
            expected=f"files ending in {', '.join(sorted(PICTURE_SUFFIXES))}",
            found="none" if folder.is_dir() else "no such folder",
            cure="name a folder of pictures",
        )
    for path in files:
        below = path.relative_to(folder)
        source = below.parts[0] if len(below.parts) > 1 else folder.resolve().name
        mask = _mask_of(masks / below) if masks is not None else None
        yield Record(
            str(path), str(path), str(path), str(mask) if mask else None,
            attribute=source if forged else None, source=source, forged=forged,
        )  # fmt: skip


def _mask_of(path: Path) -> Path | None:
    """Return the mask at `path`, whatever its suffix."""
    found = (path.with_suffix(suffix) for suffix in (".png", *sorted(PICTURE_SUFFIXES)))
    return next((mask for mask in found if mask.is_file()), None)
