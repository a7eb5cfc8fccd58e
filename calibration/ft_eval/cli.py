"""`ft-eval`: how good a bundle's answers are, on pictures whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ftsdk.cli.console import BundleOption, VersionOption, bars, err, out, run_app, shown
from ftsdk.cli.terminal import WORK_FAILED, exit_on_error, print_json
from ftsdk.errors import OptionError
from ftsdk.trust import BundleName

if TYPE_CHECKING:
    from ft_eval.evaluate import Evaluation
    from ft_eval.folders import PictureData
    from ft_eval.outcomes import Summary

_EXAMPLE = "Example: ft-eval --bundle xl.bundle --untouched photographs/ --forged swaps/ --json"
_COLUMNS = {
    "IoU": "iou", "prec.": "precision", "recall": "recall", "F1": "f1",
    "cannot tell": "cannot_tell", "AUC": "auc",
    "found": "found", "FPR": "false_positive_rate", "at 1 %": "found_at_1", "at 5 %": "found_at_5",
    "region F1": "region_f1",
    "agree": "report_agreement", "named": "report_names_part",
}  # fmt: skip
_TEXT_COLUMNS = {
    "CIDEr": "cider", "BLEU-1": "bleu_1", "BLEU-2": "bleu_2", "BLEU-3": "bleu_3",
    "BLEU-4": "bleu_4", "ROUGE-L": "rouge_l", "METEOR": "meteor",
}  # fmt: skip
_SHOWN_FAILURES = 10

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def evaluate(
    data: Annotated[
        Path | None,
        typer.Option(exists=True, help="A data set in MMTT's layout, or its record file."),
    ] = None,
    untouched: Annotated[
        list[Path] | None,
        typer.Option(exists=True, file_okay=False, help="Untouched pictures; may be repeated."),
    ] = None,
    forged: Annotated[
        list[Path] | None,
        typer.Option(exists=True, file_okay=False, help="Forged pictures; may be repeated."),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Masks of the forged, by their names."),
    ] = None,
    bundle: BundleOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also after JPEG, resizing, blur and noise.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="N pictures, spread over the data set.")
    ] = None,
    report: Annotated[bool, typer.Option(help="Write reports, or stop at the masks.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")] = False,
    _version: VersionOption = False,
) -> None:
    """Hold a bundle's masks, scores, regions and reports against the truth.

    Masks: mean over forged pictures, cut at 0.5, at the truth's size. Found and FPR: at the
    bundle's own threshold; at 1 % and at 5 %: at a threshold that so many untouched pictures of
    this data set exceed. Folders need no records: the first folder below one that is named is a
    picture's source. Every figure is a share from 0 to 1; papers print captions' scores
    times 100.
    """
    with exit_on_error():
        read = _data(data, untouched or [], forged or [], masks, limit)
        done = _evaluate(read, bundle, device, robustness, report)
    if as_json:
        print_json(done.to_dict(), indent=2)
    else:
        _show(done)
    if done.failures:
        _show_failures(done)
        raise typer.Exit(WORK_FAILED)


def _data(
    data: Path | None, untouched: list[Path], forged: list[Path], masks: Path | None,
    limit: int | None,
) -> PictureData:  # fmt: skip
    from ft_eval.folders import FolderData
    from ft_forge.mmtt import MmttData, spread

    if (data is None) == (not untouched and not forged):
        raise OptionError(
            "ft-eval needs one data set.",
            expected="--data, or folders by --untouched and --forged",
            found="both" if data else "neither",
            cure="name one of them; see ft-eval --help",
        )
    if data is not None:
        return MmttData(data, limit)
    folders = FolderData(untouched, forged, masks)
    missing = len(folders.forged) - len(folders.masked)
    if masks is not None and missing:
        of = len(folders.forged)
        err.print(f"note: {missing} of {of} forged pictures have no mask; IoU is of the others")
    folders.records = spread(folders.records, limit)
    return folders


def _evaluate(
    data: PictureData, bundle: BundleName | None, device: str, robustness: bool, report: bool
) -> Evaluation:
    from ftsdk.analyzer import Analyzer

    try:
        from ft_eval.evaluate import evaluate as run
    except ModuleNotFoundError as error:
        raise OptionError(
            "ft-eval needs a package that is not installed.",
            expected=str(error.name),
            found="no such module",
            cure='run: pip install "ftsdk[eval]"',
        ) from error
    from ft_eval.robustness import DISTORTIONS

    with Analyzer(bundle, device=device) as analyzer, _progress() as progress:
        task = progress.add_task("evaluating", total=len(data.records))
        return run(
            analyzer,
            data,
            report=report,
            distortions=tuple(DISTORTIONS) if robustness else (),
            advance=lambda: progress.advance(task),
        )


def _progress() -> Progress:
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return bars(TextColumn("{task.description}"), *columns)


def _show(done: Evaluation) -> None:
    made, total = done.provenance, done.total
    rows = {**done.families, "total": total}
    out.print(_table(f"{made.bundle} on {made.device}", "family", rows))
    if done.sources:
        out.print(_sources_table(done))
    if total.text is not None:
        out.print(_text_table(rows))
    if done.robustness:
        out.print(_table("robustness, all pictures", "after", done.robustness))
    for what, value in (
        ("shipped threshold of the score", done.score_threshold),
        ("expected calibration error, both classes weighing half", total.calibration_error),
        ("untouched pictures with a mask", total.false_mask_rate),
    ):
        out.print(f"{what}: {_number(value, 3)}", soft_wrap=True)
    intervals = (
        f"{name.replace('_', ' ')} {low:.3f} to {high:.3f}"
        for name, (low, high) in total.intervals.items()
    )
    out.print(f"95 % intervals of the total: {'; '.join(intervals)}", soft_wrap=True)


def _table(title: str, first: str, rows: dict[str, Summary]) -> Table:
    columns = {
        heading: name
        for heading, name in _COLUMNS.items()
        if any(getattr(summary, name) is not None for summary in rows.values())
    }
    table = _empty_table(title, first, "n", *columns)
    for name, summary in rows.items():
        figures = (_number(getattr(summary, column)) for column in columns.values())
        table.add_row(shown(name), str(summary.pictures), *figures)
    return table


def _sources_table(done: Evaluation) -> Table:
    headings = "n", "FPR", "95 %", "with a mask", "cannot tell"
    table = _empty_table("untouched, by source", "source", *headings)
    for name, summary in done.sources.items():
        low, high = summary.intervals.get("false_positive_rate", (None, None))
        table.add_row(
            shown(name), str(summary.pictures), _number(summary.false_positive_rate),
            f"{_number(low)} to {_number(high)}", _number(summary.false_mask_rate),
            _number(summary.cannot_tell),
        )  # fmt: skip
    return table


def _text_table(rows: dict[str, Summary]) -> Table:
    table = _empty_table("reports", "family", *_TEXT_COLUMNS)
    for name, summary in rows.items():
        if summary.text is not None:
            figures = (_number(getattr(summary.text, c)) for c in _TEXT_COLUMNS.values())
            table.add_row(shown(name), *figures)
    return table


def _empty_table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=shown(title), box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _show_failures(done: Evaluation) -> None:
    count = len(done.failures)
    of = count + done.total.pictures
    err.print(f"[bold red]error[/] {count} of {of} pictures are in no figure: not analysed")
    for failure in done.failures[:_SHOWN_FAILURES]:
        what = f"{failure.name}: {failure.error.what} ({failure.error.found})"
        err.print(f"  {shown(what)}", soft_wrap=True)
    if count > _SHOWN_FAILURES:
        err.print("  ... and more; --json lists them all")


def main() -> None:
    """Run the command."""
    run_app(app)


if __name__ == "__main__":
    main()
