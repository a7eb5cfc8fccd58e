"""What commands with options share: where text goes, the bundle's option, signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ftsdk.cli.terminal import error_document, prepare
from ftsdk.errors import OptionError
from ftsdk.text import visible
from ftsdk.trust import BundleName
from ftsdk.version import __version__

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from ftsdk.streaming.answers import FrameAnswer

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def bundle_name(word: str) -> BundleName:
    try:
        return BundleName.of(word)
    except OptionError as error:
        raise typer.BadParameter(f"{error.what}: {error.cure}") from error


#: The option of every command that opens a bundle.
BundleOption = Annotated[
    BundleName | None,
    typer.Option(
        parser=bundle_name,
        metavar="BUNDLE",
        help="A bundle directory, or nano: the model in the package (./nano is a directory). "
        "BUNDLE@sha256:HEX takes only the one whose manifest.json has that hash.",
        show_default="nano",
    ),
]


def _print_version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        out.print(f"{context.info_name} {__version__}")
        raise typer.Exit


#: The option of every command.
VersionOption = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version, and stop."
    ),
]


def run_app(app: typer.Typer) -> None:
    """Run a command by its options; see `prepare`."""
    prepare()
    app()


def bars(*columns: ProgressColumn, **options: Any) -> Progress:
    """Return bars that are gone in the end; in a file or a pipe they write nothing at all."""
    from rich.progress import Progress

    hidden = not err.is_terminal
    return Progress(*columns, console=err, transient=True, disable=hidden, **options)


def shown(text: object) -> str:
    """Return text from outside for a rich console: nothing in it acts on the terminal."""
    return escape(visible(str(text), keep="\n\t"))


class Stop:
    """SIGTERM and Ctrl-C while something is written that must come to a good end.

    Inside `with Stop() as stop` either ends the block, save while `stop.held()`, whose end it waits
    for. `stop.code` is then what the command has to exit with.
    """

    code = 0

    def __init__(self) -> None:
        self._held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let what is inside be finished first."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.code:
            raise _StoppedError

    def __enter__(self) -> Stop:
        signals = signal.SIGTERM, signal.SIGINT
        self._before = {number: signal.signal(number, self._note) for number in signals}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is _StoppedError

    def _note(self, number: int, _: FrameType | None) -> None:
        first, self.code = not self.code, 128 + number
        if first and not self._held:
            raise _StoppedError


class _StoppedError(BaseException):
    """Ends the block of a Stop."""


def answer_document(answer: FrameAnswer) -> dict[str, Any]:
    """Return what a frame's answer says as JSON values, be it a result or a failure."""
    from ftsdk.streaming.answers import FrameFailed

    if isinstance(answer, FrameFailed):
        return error_document(answer.error)
    return answer.result.to_dict()
