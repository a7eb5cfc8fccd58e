"""No module needs itself by way of others, not even for a type or inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOTS = ("sdk", "export", "calibration", "training")


def modules() -> dict[str, Path]:
    """Return every module of the packages by its dotted name."""
    found = {}
    for root in ROOTS:
        for path in (ROOT / root).rglob("*.py"):
            parts = path.relative_to(ROOT / root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path
    return found


def imported(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules among `known` that one imports anywhere in its text."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, node.module or ""]).strip(".") if node.level else node.module
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield from [one for one in (inner, base) if one in known][:1]


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the modules of one circle, in order; none if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other() -> None:
    known = modules()
    assert {"ftsdk.analyzer", "ft_export.cli", "ft_forge.cli", "ft_training.train"} <= known.keys()
    graph = {name: set(imported(name, path, known)) - {name} for name, path in known.items()}
    assert "ftsdk.errors" in graph["ftsdk.bundle"]
    assert circle(graph) == []


@pytest.mark.parametrize(
    "text",
    [
        "import ftsdk.b",
        "from ftsdk import b",
        "from ftsdk.b import name",
        "from .b import name",
        "if TYPE_CHECKING:\n    from . import b",
        "def f():\n    from ftsdk.b import name",
    ],
)
def test_every_kind_of_import_is_seen(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(text, encoding="utf-8")
    known = {"ftsdk": path, "ftsdk.a": path, "ftsdk.b": path}
    graph = {"ftsdk.a": set(imported("ftsdk.a", path, known)), "ftsdk.b": {"ftsdk.a"}}
    assert graph["ftsdk.a"] == {"ftsdk.b"}
    assert sorted(set(circle(graph))) == ["ftsdk.a", "ftsdk.b"]
