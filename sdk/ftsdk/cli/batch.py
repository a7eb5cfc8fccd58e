"""`ft-batch`: a folder or a list of pictures into one file of answers, a JSON object a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from ftsdk.batch.rows import Counts
from ftsdk.cli.console import BundleOption, VersionOption, bars, err, run_app, shown
from ftsdk.cli.terminal import WORK_FAILED, exit_on_error, show_error
from ftsdk.files import Inputs, named
from ftsdk.text import json_text
from ftsdk.trust import BundleName

if TYPE_CHECKING:
    from ftsdk.batch.lines import Book
    from ftsdk.batch.rows import Row
    from ftsdk.batch.sources import Entry, Listing

_EXAMPLE = "Examples: ft-batch pictures/ --out all.jsonl | ft-batch list.txt --out - | jq .finding"
_SHOWN = 10

_Pictures = Annotated[
    str,
    typer.Argument(
        help="A folder, or a list: a text file with the path of a picture a line, or Parquet "
        "with a column path. Each may be an address, such as s3://bucket/folder."
    ),
]
_Out = Annotated[
    Path,
    typer.Option(
        "--out",
        parser=named,
        help="Answers, a JSON object a line, or NAME.parquet for a folder of Parquet; what is "
        "there is kept. - prints them.",
    ),
]
_Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on a Ray cluster: HOST:PORT of its head, auto for the one that runs here, "
        "local to start one of this machine alone.",
    ),
]

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def batch(
    pictures: _Pictures,
    out_path: _Out,
    bundle: BundleOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or a provider's.")] = "auto",
    retry: Annotated[
        bool, typer.Option("--retry", help="Analyse again what could not be analysed before.")
    ] = False,
    ray: _Ray = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Stop at the mask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
    _version: VersionOption = False,
) -> None:
    """Analyse a million pictures: started again, it goes on where it was; none ends it.

    Every file of the folder has a line in the end: an answer, an error, or why it was left out.
    Exit code 1 while a file of the answers could not be analysed, now or before.
    """
    from ftsdk.batch.books import is_stdout, open_book
    from ftsdk.batch.sources import listing_of

    with exit_on_error():
        Inputs([Path(pictures)]).refuse(out_path)
        listing = listing_of(pictures, out_path)
        printed = is_stdout(out_path)
        known = listing.known() if retry else ()
        with open_book(out_path, listing.root.folder, known) as book:
            todo = [entry for entry in listing.entries if entry.name not in book.done]
            seconds = 0.0
            if todo:
                with _answering(listing, bundle, device, not no_report, ray) as answer:
                    seconds = _write(answer(todo), book, len(todo))
    _show(book, seconds, as_json, to_stderr=printed)
    if book.counts.failed or book.before.failed:
        raise typer.Exit(WORK_FAILED)


@contextmanager
def _answering(
    listing: Listing, bundle: BundleName | None, device: str, report: bool, ray: str | None
) -> Iterator[Callable[[Sequence[Entry]], Generator[Row, None, None]]]:
    """Yield what answers, here or on a cluster: a function from files to their rows."""
    if ray is not None:
        from ftsdk.fleet.run import Fleet

        with ExitStack() as stack:
            with err.status("waiting for the first worker"):
                fleet = Fleet(ray, listing, bundle, device=device, report=report, warn=show_error)
                stack.enter_context(fleet)
            yield fleet.rows
        return
    from ftsdk.analyzer import Analyzer
    from ftsdk.batch.run import rows_of

    with Analyzer(bundle, device=device, isolate_decoding=True) as analyzer:
        yield lambda todo: rows_of(analyzer, listing, todo, report=report)


def _write(answered: Generator[Row, None, None], book: Book, total: int) -> float:
    """Write rows under a progress bar; return how many seconds it took."""
    from ftsdk.batch.run import write_all

    start = time.monotonic()
    with _progress() as progress:
        task = progress.add_task("", total=total)

        def told(row: Row) -> None:
            progress.advance(task)
            _show_row(row, book)

        write_all(answered, book, told)
    return time.monotonic() - start


def _show_row(row: Row, book: Book) -> None:
    """Print what was not answered, as long as it is little."""
    for key, count in (("error", book.counts.failed), ("left_out", book.counts.left_out)):
        if key not in row or count > _SHOWN + 1:
            continue
        if count > _SHOWN:
            err.print("  ... and more; the answers name them all")
        elif key == "error":
            error = row["error"]
            what = f"{row['file']}: {error['what']} ({error['found']})"
            err.print(f"[bold red]error[/] {shown(what)}", soft_wrap=True)
        else:
            err.print(f"left out {shown(row['file'])}: {shown(row['left_out'])}", soft_wrap=True)


def _progress() -> Progress:
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return bars(*columns)


def _show(book: Book, seconds: float, as_json: bool, *, to_stderr: bool) -> None:
    pictures = book.counts.answered + book.counts.failed
    rate = round(pictures / seconds, 2) if pictures and seconds else 0.0
    if as_json:
        before = {f"{kind}_before": count for kind, count in asdict(book.before).items()}
        said = json_text({**asdict(book.counts), **before, "pictures_per_second": rate})
    else:
        said = _sentence(book.counts)
        if rate:
            said += f"; {rate:g} pictures a second"
        if book.before != Counts():
            said += f"; there before: {_sentence(book.before)}"
        if book.before.failed:
            said += "; --retry analyses the failed ones again"
    typer.echo(said, err=to_stderr)


def _sentence(counts: Counts) -> str:
    return (
        f"{counts.answered} answered ({counts.suspected} suspected, {counts.cannot_tell} cannot "
        f"tell), {counts.failed} failed, {counts.left_out} left out"
    )


def main() -> None:
    """Run the command."""
    run_app(app)
