"""docs/architecture.md: the files that it names exist, and no room of the house is missing."""

from __future__ import annotations

import re

import pytest
from conftest import REPOSITORY

TEXT = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
FOLDERS = ("sdk", "export", "calibration", "training", "tests")
FILES = {
    "/" + path.relative_to(REPOSITORY).as_posix()
    for folder in FOLDERS
    for path in (REPOSITORY / folder).rglob("*.*")
}
NAMED = set(re.findall(r"[\w./-]*\w\.(?:py|cu|h|js)\b", TEXT))
ROOMS = "\n".join(line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `"))
SDK = REPOSITORY / "sdk" / "ftsdk"


def test_the_document_names_files() -> None:
    assert {"imaging/reader.py", "sdk/ftsdk/analyzer.py", "serve/static/main.js"} <= NAMED


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_named_file_exists(name: str) -> None:
    assert any(path.endswith(f"/{name}") for path in FILES)


def test_every_room_exists() -> None:
    folders = re.findall(r"`([\w/]+/)`", ROOMS)
    assert folders
    assert [folder for folder in folders if not (REPOSITORY / folder).is_dir()] == []


def test_every_part_of_the_sdk_has_a_room() -> None:
    named = {name.rstrip("/").rpartition("/")[2] for name in re.findall(r"`([^`]+)`", ROOMS)}
    parts = {path.name for path in SDK.glob("[a-z]*.py")}
    parts |= {path.parent.name for path in SDK.glob("*/__init__.py")}
    assert parts - named == set()
