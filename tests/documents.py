"""The snippets of README.md and docs/, and what stands in for what a test machine lacks."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import pyarrow as pa
from conftest import REPOSITORY
from markdown_it import MarkdownIt
from pyarrow.parquet import write_table

from ftsdk.trust import NANO

PICTURES = REPOSITORY / "examples" / "pictures"
DOCUMENTS = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "examples" / "README.md",
    REPOSITORY / "training" / "README.md",
]
#: In Python: a device and a camera that are not here.
STAND_INS = {
    re.compile(r"\"cuda(:0)?\""): '"cpu"',
    re.compile(r"\"rtsp://[^\"]+\""): '"video.mp4"',
}


@dataclass(frozen=True)
class Snippet:
    """A fenced block: where it is, its language, its text."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """File and line, as pytest and editors show it."""
        return f"{self.document.relative_to(REPOSITORY)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line after `$ `, and what the document shows below it."""

    place: str
    line: str
    shown: str

    def calls(self) -> list[list[str]]:
        """Return the words of each program that the line calls."""
        lexer = shlex.shlex(self.line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        calls: list[list[str]] = [[]]
        for word in lexer:
            if set(word) <= set("|&;"):
                calls.append([])
            else:
                calls[-1].append(word)
        return [_without_redirection(call) for call in calls]


def snippets(*languages: str) -> list[Snippet]:
    """Return every fenced block of these languages; an empty language is a block without one."""
    found = []
    for document in DOCUMENTS:
        for token in MarkdownIt().parse(document.read_text(encoding="utf-8")):
            language = token.info if token.type == "fence" else ""
            if token.type in ("fence", "code_block") and language in languages and token.map:
                found.append(Snippet(document, token.map[0] + 1, language, token.content))
    return found


def commands() -> list[Command]:
    """Return every command of every console block."""
    found = []
    for snippet in snippets("console"):
        joined = snippet.text.replace("\\\n", "")
        for block in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
            line, _, shown = block.partition("\n")
            found.append(Command(snippet.place, line, shown))
    return found


def with_stand_ins(code: str) -> str:
    """Return Python of a document as it can run here."""
    for absent, here in STAND_INS.items():
        code = absent.sub(here, code)
    return code


def furnish(folder: Path) -> None:
    """Put into `folder` what the documents speak of, as far as it can be had."""
    for name in ("face", "a", "b"):
        shutil.copy(PICTURES / "portrait_forged.jpg", folder / f"{name}.jpg")
    for name in ("archive", "suspicious", "pictures"):
        shutil.copytree(PICTURES, folder / name, ignore=shutil.ignore_patterns("*.py"))
    for name in ("faces", "set", "FACES", "SET", "FRESH", "photographs", "swaps", "masks"):
        (folder / name).mkdir()
    for name in ("xl.bundle", "xl8.bundle", "small.bundle"):
        shutil.copytree(NANO, folder / name)
    (folder / "list.txt").write_text("a.jpg\nb.jpg\n", encoding="utf-8")
    write_table(pa.table({"path": ["a.jpg", "b.jpg"]}), folder / "list.parquet")
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    frame = cv2.imread(str(PICTURES / "portrait_forged.jpg"))
    assert frame is not None
    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(folder / "video.mp4"), fourcc, 8, frame.shape[1::-1])
    for _ in range(3):
        writer.write(frame)
    writer.release()


def _without_redirection(call: list[str]) -> list[str]:
    words = list(call)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # an environment variable
        del words[0]
    return words[: words.index(">")] if ">" in words else words
