"""What a release rests on: one version, its changes, and workflows that call what is there."""

from __future__ import annotations

import re
import tomllib

from conftest import REPOSITORY
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import ftsdk

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
CHANGES = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_changes_have_this_version_newest_first() -> None:
    headings = re.findall(r"^## (\S+)", CHANGES, re.MULTILINE)
    assert ftsdk.__version__ in headings
    versions = [Version(heading) for heading in headings if heading != "Unreleased"]
    assert versions == sorted(versions, reverse=True)
    assert headings.index(ftsdk.__version__) == (headings[0] == "Unreleased")


def test_the_version_is_written_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "ftsdk.version.__version__"
    }


def test_workflows_call_targets_that_are_there() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    called = set(re.findall(r"run: make ([\w ]+)", text))
    assert {"test", "lowest", "docs", "audit"} <= called
    for target in called:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert all(re.fullmatch(r"[0-9a-f]{40}", pin) for pin in re.findall(r"uses: \S+@(\S+)", text))


def test_every_python_that_is_tested_and_built_may_be_installed() -> None:
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    text = (REPOSITORY / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    tested = re.findall(r'"(3\.\d+)"', text)
    built = re.findall(r"cp3(\d+)-", PROJECT["tool"]["cibuildwheel"]["build"])
    assert {f"3.{minor}" for minor in built} == {*tested} == {"3.11", "3.12", "3.13", "3.14"}
    assert all(version in allowed for version in tested)
