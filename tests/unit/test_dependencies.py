"""Bounds of what is installed: above every known fault, and the lock of the service within them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY
from packaging.requirements import Requirement
from packaging.version import Version

DOCUMENT = REPOSITORY / "docs" / "dependencies.md"
LOCK = REPOSITORY / "requirements" / "serve.lock"
SERVED = ("c2pa", "cpu", "serve")
#: What the lock holds in another's place.
HEADLESS = {"opencv-python": "opencv-python-headless"}


def required(*extras: str) -> dict[str, Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"]
    lines += [line for extra in extras for line in project["optional-dependencies"][extra]]
    found = map(Requirement, lines)
    return {requirement.name: requirement for requirement in found}


def known_faults() -> list[tuple[str, str]]:
    """Return package and first whole version of each row of the document's last table."""
    _, section = DOCUMENT.read_text(encoding="utf-8").split("## Known faults")
    return re.findall(r"^\| ([a-z0-9-]+) \| ([0-9.]+) \|", section, re.MULTILINE)


def locked(path: Path = LOCK) -> dict[str, Version]:
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: Version(version) for name, version in pins}


def test_the_document_names_faults() -> None:
    assert {"h11", "python-multipart", "starlette"} <= {name for name, _ in known_faults()}


@pytest.mark.parametrize(("package", "whole"), known_faults())
def test_no_version_with_a_known_fault_is_allowed(package: str, whole: str) -> None:
    bounds = [part for part in required(*SERVED)[package].specifier if part.operator == ">="]
    assert [Version(bound.version) >= Version(whole) for bound in bounds] == [True]


def test_the_lock_is_within_the_bounds_and_holds_no_windows() -> None:
    pins = locked()
    for name, requirement in required(*SERVED).items():
        assert pins[HEADLESS.get(name, name)] in requirement.specifier, name
    assert not pins.keys() & HEADLESS.keys()


def test_every_file_of_the_lock_has_its_hash() -> None:
    entries = re.split(r"^(?=[a-z0-9-]+==)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(entries[1:]) == len(locked())
    for entry in entries[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
