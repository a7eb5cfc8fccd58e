"""`ft-batch`: a folder or a list of pictures into one file of answers, a JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from ftsdk.cli.console import WORK_FAILED, answer_document, err, exit_on_error, out
from ftsdk.streaming.answers import FrameAnswer, FrameFailed, FrameMasked

_EXAMPLE = "Example: ft-batch pictures/ --out answers.jsonl"

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def batch(
    pictures: Annotated[
        Path, typer.Argument(help="A folder, or a text file with the path of a picture a line.")
    ],
    out_path: Annotated[
        Path, typer.Option("--out", help="Answers, a JSON object a line; what is there is kept.")
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="A bundle directory. [default: the built-in nano model]")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    no_report: Annotated[bool, typer.Option("--no-report", help="Stop at the mask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Analyse a million pictures: started again, it goes on where it was; none ends it."""
    from ftsdk.analyzer import Analyzer
    from ftsdk.streaming.sources import Pictures
    from ftsdk.streaming.watching import watch_with

    done = _answered(out_path)
    names = [name for name in _names(pictures) if name not in done]
    counts = {"answered": 0, "failed": 0, "answered_before": len(done)}
    root = pictures if pictures.is_dir() else pictures.parent
    with exit_on_error(), Analyzer(bundle, device=device) as analyzer, _progress() as progress:
        task = progress.add_task("", total=len(names))
        source = Pictures(root, lambda: names)
        answers = watch_with(analyzer, source, report="never" if no_report else "always")
        with out_path.open("a", encoding="utf-8") as file:
            for answer in answers:
                if isinstance(answer, FrameMasked) and not no_report:
                    continue
                counts["failed" if isinstance(answer, FrameFailed) else "answered"] += 1
                _write(file, answer)
                progress.advance(task)
    _show(counts, as_json)
    if counts["failed"]:
        raise typer.Exit(WORK_FAILED)


def _names(pictures: Path) -> list[str]:
    from ftsdk.streaming.sources import pictures_in

    if pictures.is_dir():
        return list(pictures_in(pictures))
    if not pictures.is_file():
        raise typer.BadParameter(f"there is nothing at {pictures}", param_hint="PICTURES")
    lines = pictures.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _answered(path: Path) -> set[str]:
    """Return the files that have an answer; a last line that a crash cut off is removed."""
    if not path.exists():
        return set()
    done, whole = set(), 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                done.add(str(json.loads(line)["file"]))
            except (ValueError, LookupError, TypeError) as error:
                message = f"{path} holds something else than answers of ft-batch"
                raise typer.BadParameter(message, param_hint="--out") from error
    with path.open("rb+") as file:
        file.truncate(whole)
    return done


def _write(file: IO[str], answer: FrameAnswer) -> None:
    document = {"file": answer.frame.name, **answer_document(answer)}
    file.write(json.dumps(document, ensure_ascii=False) + "\n")
    file.flush()


def _progress() -> Progress:
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=err, transient=True)


def _show(counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(counts))
        return
    before = counts["answered_before"]
    out.print(f"{counts['answered']} answered, {counts['failed']} failed, {before} were there")


def main() -> None:
    """Run the command."""
    app()
