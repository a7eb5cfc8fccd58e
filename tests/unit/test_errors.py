"""The error tree is what its drawing says, and errors survive a process boundary."""

from __future__ import annotations

import inspect
import pickle
import re
from types import ModuleType

import pytest

import ft_export.errors
from ftsdk import errors
from ftsdk.errors import FtsdkError

_LINE = re.compile(r"^((?:│ {3}| {4})*)(?:├── |└── )?(\w+)(?: +(\S.*))?$")


#: Each module with errors, and the root of what it holds.
TREES: list[tuple[ModuleType, type[FtsdkError]]] = [
    (errors, FtsdkError),
    (ft_export.errors, ft_export.errors.ExportError),
]


def _drawn(module: ModuleType, root: type[FtsdkError]) -> dict[str, str | None]:
    """Return each drawn class with its drawn parent."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (inspect.getdoc(module) or "").splitlines():
        found = _LINE.match(line)
        if not found or not found[2].endswith("Error"):
            continue
        depth = 0 if found[2] == root.__name__ else len(found[1]) // 4 + 1
        parents[found[2]] = path[depth - 1] if depth else None
        path[depth:] = [found[2]]
    return parents


def _real(module: ModuleType, kind: type[FtsdkError]) -> dict[str, str]:
    tree: dict[str, str] = {}
    for child in kind.__subclasses__():
        if child.__module__ == module.__name__:
            tree[child.__name__] = kind.__name__
            tree.update(_real(module, child))
    return tree


def _classes() -> list[type[FtsdkError]]:
    return [getattr(module, name) for module, root in TREES for name in _drawn(module, root)]


@pytest.mark.parametrize(("module", "root"), TREES)
def test_drawing_equals_the_class_tree(module: ModuleType, root: type[FtsdkError]) -> None:
    assert _drawn(module, root) == {root.__name__: None, **_real(module, root)}


@pytest.mark.parametrize(("module", "root"), TREES)
def test_every_class_of_the_module_belongs_to_the_tree(
    module: ModuleType, root: type[FtsdkError]
) -> None:
    public = {
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    assert public == set(_drawn(module, root))


@pytest.mark.parametrize("kind", _classes())
def test_errors_have_one_sentence_and_pickle(kind: type[FtsdkError]) -> None:
    assert re.fullmatch(r".+\.", (kind.__doc__ or "").split("\n")[0])
    error = kind("It broke.", expected="a", found="b", cure="Do c.")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_text_names_all_four_parts() -> None:
    text = str(FtsdkError("It broke.", expected="one", found="two", cure="Do three."))
    assert all(part in text for part in ("It broke.", "one", "two", "Do three."))


def test_input_errors_are_value_errors() -> None:
    assert issubclass(errors.InputError, ValueError)
