"""What every command shares: where text goes, how an error looks, which code it exits with."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from ftsdk.errors import FtsdkError, OptionError, OutputFormatError, OverwriteError, RegionError
from ftsdk.text import json_text, visible
from ftsdk.trust import BundleName

if TYPE_CHECKING:
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

WORK_FAILED, WRONG_USE = 1, 2
_WRONG_USE = (OptionError, OutputFormatError, OverwriteError, RegionError)


def run_app(app: typer.Typer) -> None:
    """Run a command: what the terminal's encoding lacks is escaped, SIGTERM ends it in order."""
    # What was imported lives until the end, and there a collection of it takes a tenth of the run.
    gc.freeze()
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    app()


def shown(text: object) -> str:
    """Return text from outside for a rich console: nothing in it acts on the terminal."""
    return escape(visible(str(text), keep="\n\t"))


def print_json(document: Any, indent: int | None = None) -> None:
    """Print JSON to standard output, in UTF-8 whatever the locale."""
    typer.echo((json_text(document, indent) + "\n").encode(), nl=False)


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


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def show_error(error: FtsdkError, about: str | None = None) -> None:
    """Print what failed, what was expected and found, and the cure, to standard error."""
    prefix = f"{shown(about)}: " if about else ""
    err.print(f"[bold red]error[/] {prefix}{shown(error.what)}", soft_wrap=True)
    for label, text in (
        ("expected", error.expected),
        ("found", error.found),
        ("cure", error.cure),
    ):
        err.print(f"  [dim]{label:>8}[/]  {shown(text)}", soft_wrap=True)


def error_document(error: FtsdkError) -> dict[str, Any]:
    """Return an error as the JSON that stands in a result's place."""
    from ftsdk.result import SCHEMA_VERSION

    return {"schema_version": SCHEMA_VERSION, "error": error.to_dict()}


def answer_document(answer: FrameAnswer) -> dict[str, Any]:
    """Return what a frame's answer says as JSON values, be it a result or a failure."""
    from ftsdk.streaming.answers import FrameFailed

    if isinstance(answer, FrameFailed):
        return error_document(answer.error)
    return answer.result.to_dict()


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn an ftsdk error into its message and an exit code: 2 for wrong use, else 1."""
    try:
        yield
    except FtsdkError as error:
        show_error(error)
        raise typer.Exit(WRONG_USE if isinstance(error, _WRONG_USE) else WORK_FAILED) from error
