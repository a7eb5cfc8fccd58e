"""The error tree is what its drawing says, and errors survive a process boundary."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from ftsdk import errors
from ftsdk.errors import FtsdkError

_LINE = re.compile(r"^((?:│ {3}| {4})*)(?:├── |└── )?(\w+)(?: +(\S.*))?$")


def _drawn() -> dict[str, str | None]:
    """Return each drawn class with its drawn parent."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (inspect.getdoc(errors) or "").splitlines():
        found = _LINE.match(line)
        if not found or not found[2].endswith("Error"):
            continue
        depth = 0 if found[2] == "FtsdkError" else len(found[1]) // 4 + 1
        parents[found[2]] = path[depth - 1] if depth else None
        path[depth:] = [found[2]]
    return parents


def _real(kind: type[FtsdkError]) -> dict[str, str]:
    tree: dict[str, str] = {}
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            tree[child.__name__] = kind.__name__
            tree.update(_real(child))
    return tree


def _classes() -> list[type[FtsdkError]]:
    return [getattr(errors, name) for name in _drawn()]


def test_drawing_equals_the_class_tree() -> None:
    assert _drawn() == {"FtsdkError": None, **_real(FtsdkError)}


def test_every_class_of_the_module_belongs_to_the_tree() -> None:
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and not name.startswith("_")
    }
    assert public == set(_drawn())


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
