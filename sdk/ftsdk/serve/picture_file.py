"""A picture file as a client hands it in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Upload:
    """A picture file as it came, and what the client calls it."""

    data: bytes
    name: str

    def open(self) -> io.BytesIO:
        """Return a file object that carries the name."""
        file = io.BytesIO(self.data)
        file.name = self.name
        return file


@dataclass(frozen=True)
class Asked:
    """What a client asks about a picture.

    Attributes:
        upload: the file.
        regions: names in place of those that the model finds.
        report: False stops at the mask.
    """

    upload: Upload
    regions: Sequence[str] | None = None
    report: bool = True
