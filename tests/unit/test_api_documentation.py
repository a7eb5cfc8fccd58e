"""Every public name says what it takes or holds, in which shapes, what it raises, and its use."""

from __future__ import annotations

import re
from collections.abc import Iterator

import griffe
import pytest
from conftest import REPOSITORY

import ftsdk

PAGES = REPOSITORY / "docs" / "api"
SHAPE = re.compile(r"\[[A-Z0-9][A-Z0-9, ]*\] (bool|float32|uint8|int64)")
REFERS = re.compile(r"[Tt]akes what (`\w+`|it) takes|[Ss]ee `")
#: What goes wrong with a thing that is only handed out has no place in its own text.
HANDED_OUT = re.compile(
    r"^(Event|Failure|Finished|Frame\w*|MaskReady|Region\w*|ReportToken|Result)$"
)
#: The steps of an answer, which ftsdk's own pipelines run apart; no page shows them.
STEPS = {"prepare", "unanswered", "look", "ask", "locate", "explain", "result"}


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    """The package as the documentation's generator reads it: from its source."""
    found = griffe.load("ftsdk", search_paths=[REPOSITORY / "sdk"], docstring_parser="google")
    assert isinstance(found, griffe.Module)
    return found


def public(package: griffe.Module, name: str) -> griffe.Object:
    member = package[name]
    return member.final_target if isinstance(member, griffe.Alias) else member


def sections(found: griffe.Object) -> dict[str, griffe.DocstringSection]:
    assert found.docstring is not None, f"{found.path} has no docstring"
    parsed = found.docstring.parse("google", warnings=False)
    return {section.kind.value: section for section in parsed}


def described(found: griffe.Object) -> set[str]:
    """Return the names of the parameters and attributes that a docstring describes."""
    parts = sections(found)
    kinds = [parts[kind] for kind in ("parameters", "attributes") if kind in parts]
    return {item.name for section in kinds for item in section.value}


def expected(found: griffe.Object) -> Iterator[tuple[str, str]]:
    """Yield name and type of everything that a docstring has to describe."""
    if isinstance(found, griffe.Function):
        yield from ((p.name, str(p.annotation)) for p in found.parameters if p.name != "self")
    elif isinstance(found, griffe.Class) and "dataclass" in found.labels:
        for member in found.members.values():
            is_field = "property" not in member.labels and member.annotation is not None
            if isinstance(member, griffe.Attribute) and is_field and member.is_public:
                yield member.name, str(member.annotation)
    elif isinstance(found, griffe.Class) and "__init__" in found.members:
        yield from expected(found["__init__"])


def methods(found: griffe.Object) -> Iterator[griffe.Function]:
    for member in found.members.values():
        shown = not member.name.startswith("_") and member.name not in STEPS
        if isinstance(member, griffe.Function) and shown:
            yield member


def check(found: griffe.Object) -> None:
    """Hold a docstring to the names, types and shapes of what it is about."""
    text = found.docstring.value if found.docstring else ""
    wanted = dict(expected(found))
    if not REFERS.search(text):
        missing = wanted.keys() - described(found)
        assert not missing, f"{found.path} does not describe {missing}"
        if any("NDArray" in annotation for annotation in wanted.values()):
            assert SHAPE.search(text), f"{found.path} says no shape"
    returned = str(getattr(found, "returns", None) or getattr(found, "annotation", ""))
    if "NDArray" in returned:
        assert SHAPE.search(text), f"{found.path} does not say what shape it returns"


def test_every_name_is_on_a_page_once() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    shown = re.findall(r"^::: ftsdk\.(\w+)$", pages, re.MULTILINE)
    assert sorted({*shown} - {"errors"}) == ftsdk.__all__
    assert len(shown) == len({*shown})


@pytest.mark.parametrize("name", ftsdk.__all__)
def test_a_name_has_arguments_shapes_errors_and_an_example(
    package: griffe.Module, name: str
) -> None:
    found = public(package, name)
    check(found)
    parts = sections(found)
    assert "examples" in parts, f"{name} has no example"
    if isinstance(found, griffe.Function):
        assert "raises" in parts, f"{name} does not say what it raises"
    for method in methods(found):
        check(method)


@pytest.mark.parametrize("name", [n for n in ftsdk.__all__ if not HANDED_OUT.match(n)])
def test_errors_that_are_named_are_errors(package: griffe.Module, name: str) -> None:
    found = public(package, name)
    for documented in (found, *methods(found)):
        raised = sections(documented).get("raises")
        for error in raised.value if raised else ():
            assert str(error.annotation) in package["errors"].members, documented.path
