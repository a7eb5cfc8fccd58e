"""Tables in sections of a Markdown file, between two comments that a reader does not see.

<!-- begin nano -->
... replaced on every run ...
<!-- end nano -->
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from ftsdk.files import write_atomically
from ftsdk.machine import cores, cpu_name

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


class MarkdownTable:
    """A table that shows each row when it is measured."""

    def __init__(self, head: Sequence[str]) -> None:
        self._lines = [_line(head), _line(["---"] * len(head))]

    def add(self, cells: Iterable[str]) -> None:
        """Add a row and print it."""
        self._lines.append(_line(cells))
        Console(soft_wrap=True).print(self._lines[-1])

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def publish(self, section: str, note: str = "", document: Path = DOCUMENT) -> None:
        """Write the table, under `note`, as a section of `document`."""
        replace_section(document, section, f"{note}\n\n{self}" if note else str(self))


def measured_here() -> str:
    """Return the note that says on which machine a table was measured."""
    return f"Measured on {cpu_name()}, {cores()} cores."


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replace_section(path: Path, name: str, markdown: str) -> None:
    """Write `markdown` between the markers of `name`; a file without them gets them at its end.

    Args:
        path: the Markdown file; made where it does not exist.
        name: letters, digits, `-` and `_`.
        markdown: the section's new text, without markers.

    Raises:
        ValueError: a marker is missing its partner, or is there twice.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    section = f"{begin}\n{markdown.strip()}\n{end}"
    if text.count(begin) != text.count(end) or text.count(begin) > 1:
        raise ValueError(f"{path}: the markers of section {name} do not pair up")
    if begin in text:
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        text = re.sub(pattern, lambda _: section, text, flags=re.DOTALL)
    else:
        text = f"{text.rstrip()}\n\n{section}\n".lstrip()
    write_atomically(path, text.encode())
