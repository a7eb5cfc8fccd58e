"""Other runtimes of the same weights, which other packages offer as entry points."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from ftsdk.bench.run import Rival
from ftsdk.errors import OptionError

#: Each entry point is a function of (weights, architecture or None, language dtype) that returns
#: a Rival.
GROUP = "ftsdk.bench"


def open_rival(name: str, weights: Path, architecture: str | None, language_dtype: str) -> Rival:
    """Return the runtime that a package offers under `name`.

    Raises:
        OptionError: no installed package does.
    """
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in offered:
        raise OptionError(
            f"nothing here runs the weights with '{name}'",
            expected=", ".join(sorted(offered)) or f"a package with an entry point in {GROUP}",
            found=repr(name),
            cure='pip install "ftsdk[cpu,export]"',
        )
    try:
        make = offered[name].load()
    except ImportError as error:
        raise OptionError(
            f"what runs the weights with '{name}' does not import",
            expected="the packages of ftsdk[export]",
            found=str(error),
            cure='pip install "ftsdk[cpu,export]"',
        ) from error
    rival: Rival = make(weights, architecture, language_dtype)
    return rival
