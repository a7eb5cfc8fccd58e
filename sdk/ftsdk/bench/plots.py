"""A benchmark as a picture: stacked stages, and rate against latency. Needs the extra `bench`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ftsdk.errors import OptionError
from ftsdk.files import require_place, saving

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What a plot may be called.
_SUFFIXES = (".png", ".svg", ".pdf")


def require_plot(path: Path) -> None:
    """Find out before a benchmark whether its plot can be drawn at its end.

    Raises:
        OptionError: matplotlib is not installed, or `path` has no suffix that it draws.
        OutputError: it cannot be written.
    """
    _figure_class()
    require_place(path, suffixes=_SUFFIXES)


def plot(documents: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw each document's stages as a bar, and its pictures a second against latency.

    Raises:
        OptionError: matplotlib is not installed.
        OutputError: `path` cannot be written.
    """
    figure = _figure_class()(figsize=(10, 4), layout="constrained")
    _draw(figure, documents)
    with saving(path) as file:
        figure.savefig(file, dpi=120, format=path.suffix[1:].lower())


def _figure_class() -> type[Figure]:
    try:
        with _no_font_cache():
            from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError(
            "a plot needs matplotlib",
            expected="the extra bench",
            found="no matplotlib",
            cure='pip install "ftsdk[bench]"',
        ) from error
    return Figure


def _draw(figure: Figure, documents: Sequence[dict[str, Any]]) -> None:
    bars, curves = figure.subplots(1, 2)
    names = [f"{d['conditions']['bundle']}\n{d['conditions']['device']}" for d in documents]
    stages = [*documents[0]["stages"], "sdk"]
    left = [0.0] * len(documents)
    for stage in stages:
        widths = [d["milliseconds"][stage]["p50"] for d in documents]
        bars.barh(names, widths, left=left, label=stage.replace("_", " "))
        left = [before + width for before, width in zip(left, widths, strict=True)]
    bars.set_xlabel("ms, p50")
    bars.legend(fontsize="small")
    for name, document in zip(names, documents, strict=True):
        callers = [int(count) for count in document["pictures_per_second"]]
        rates = list(document["pictures_per_second"].values())
        latency = [1e3 * n / r if r else 0.0 for n, r in zip(callers, rates, strict=True)]
        curves.plot(rates, latency, marker="o", label=name.replace("\n", " on "))
    curves.set_xlabel("pictures/s")
    curves.set_ylabel("mean latency, ms")
    curves.legend(fontsize="small")


@contextmanager
def _no_font_cache() -> Iterator[None]:
    """Keep matplotlib, while it is imported, from writing a list of fonts into the user's home."""
    if "MPLCONFIGDIR" in os.environ:
        yield
        return
    with TemporaryDirectory() as folder:
        os.environ["MPLCONFIGDIR"] = folder
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]
