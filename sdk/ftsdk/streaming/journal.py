"""What of a folder is done, so that a watch that was stopped goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path


class Journal:
    """A text file with one name a line, as a JSON string.

    A name is written once its answer has been used, and a line that was cut off by a crash does
    not count: killed at any moment, at most the last picture is analysed twice.
    """

    def __init__(self, path: Path) -> None:
        self.done = {name for line in _lines(path) if (name := _name(line)) is not None}
        self._file = path.open("a", encoding="utf-8")
        if self._file.tell() and not path.read_bytes().endswith(b"\n"):
            self._file.write("\n")

    def note(self, name: str) -> None:
        """Count `name` as done."""
        self._file.write(json.dumps(name) + "\n")
        self._file.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _name(line: str) -> str | None:
    try:
        name = json.loads(line)
    except ValueError:
        return None
    return name if isinstance(name, str) else None
