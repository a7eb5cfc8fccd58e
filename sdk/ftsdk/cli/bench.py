"""`ft-bench`: what a bundle costs on this machine, and how far that is from its limits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from ftsdk.cli.console import BundleOption, VersionOption, err, out, run_app
from ftsdk.cli.terminal import WORK_FAILED, exit_on_error
from ftsdk.files import Inputs, require_place, saving
from ftsdk.text import json_text, visible

if TYPE_CHECKING:
    from ftsdk.analyzer import Analyzer
    from ftsdk.bench.run import Plan

_EXAMPLE = (
    "Examples: ft-bench --runs 30 --json nano.json | ft-bench --against torch "
    "--weights training/nano | "
    "ft-bench --devices cpu,openvino:npu | ft-bench compare laptop.json jetson.json"
)

app = typer.Typer(add_completion=False, rich_markup_mode="rich", invoke_without_command=True)

# What is measured.
_Devices = Annotated[
    str | None,
    typer.Option(help="Several, by turns in one run, as ratios: cpu,openvino:npu,webgpu."),
]
_PictureOption = Annotated[
    Path | None, typer.Option(help="What is analysed. [default: the bundle's golden picture]")
]
_RateSeconds = Annotated[
    float, typer.Option(min=0.01, help="For how long pictures/s is measured at each concurrency.")
]
# What it is held against.
_Against = Annotated[
    str | None,
    typer.Option(
        help="torch: the same weights in PyTorch eager, by turns; transformers: so, and the "
        "text by Transformers' generate; optimum: the text by its ONNX Runtime model."
    ),
]
_AgainstLanguage = Annotated[
    str, typer.Option(help="The rival's language model: float32 or bfloat16.")
]
# What is written.
_PlotPath = Annotated[
    Path | None, typer.Option("--plot", help="Write a .png, .svg or .pdf; needs the extra bench.")
]


@app.callback(epilog=_EXAMPLE)
def bench(
    context: typer.Context,
    bundle: BundleOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or a provider's.")] = "auto",
    devices: _Devices = None,
    threads: Annotated[
        int, typer.Option(min=0, help="Inside one operator; 0 chooses by stage.")
    ] = 0,
    beams: Annotated[int | None, typer.Option(help="Beam search with N beams.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Exactly this many in each report.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Warm analyses that are timed.")] = 20,
    picture: _PictureOption = None,
    rate_seconds: _RateSeconds = 3.0,
    against: _Against = None,
    weights: Annotated[Path | None, typer.Option(help="The weights, for --against.")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="As ft-export takes it, for --against.")
    ] = None,
    against_language: _AgainstLanguage = "float32",
    layers: Annotated[bool, typer.Option("--layers", help="Show the costliest operators.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write all numbers.")] = None,
    markdown_path: Annotated[Path | None, typer.Option("--markdown", help="Write tables.")] = None,
    plot_path: _PlotPath = None,
    _version: VersionOption = False,
) -> None:
    """Time a bundle by stage and end to end, and hold it against what this machine can do."""
    if context.invoked_subcommand:
        return
    if devices and (against or plot_path or layers):
        raise typer.BadParameter("not with --against, --plot or --layers", param_hint="--devices")
    _check_rival(against, weights, against_language)
    _check_places(picture, json_path, markdown_path, plot_path)
    from ftsdk.bench.plots import plot
    from ftsdk.bench.rivals import open_rival
    from ftsdk.bench.run import Plan, run

    plan = Plan(bundle, device, threads, beams, runs, picture, rate_seconds)
    if devices:
        _compare_devices(plan, devices.split(","), tokens, json_path, markdown_path)
        return
    with exit_on_error(), err.status("measuring"):
        rival = None
        if against and weights:
            rival = open_rival(against, weights, architecture, against_language)
        document = run(plan, lambda: _open(plan, tokens), rival)
        _save(document, _tables(document, layers), json_path, markdown_path)
        if plot_path:
            plot([document], plot_path)
    _print(_tables(document, layers))


def _check_rival(against: str | None, weights: Path | None, language: str) -> None:
    if against and weights is None:
        raise typer.BadParameter("--against needs the weights", param_hint="--weights")
    if language not in ("float32", "bfloat16"):
        raise typer.BadParameter("float32 or bfloat16", param_hint="--against-language")


def _check_places(
    picture: Path | None, json_path: Path | None, markdown_path: Path | None, plot_path: Path | None
) -> None:
    """End before anything is measured if it could not be written."""
    from ftsdk.bench.plots import require_plot

    with exit_on_error():
        for path in (json_path, markdown_path):
            if path:
                require_place(path, Inputs([picture] if picture else []))
        if plot_path:
            require_plot(plot_path)


@app.command(epilog="Example: ft-bench compare laptop.json jetson.json")
def compare(
    first: Annotated[Path, typer.Argument(help="What `ft-bench --json` wrote.")],
    second: Annotated[Path, typer.Argument(help="The same on another device or version.")],
    plot_path: Annotated[Path | None, typer.Option("--plot", help="Write a picture.")] = None,
) -> None:
    """Set two benchmarks side by side."""
    from ftsdk.bench.plots import plot, require_plot
    from ftsdk.bench.tables import compare as side_by_side

    if plot_path:
        with exit_on_error():
            require_plot(plot_path)
    documents = [_read(path) for path in (first, second)]
    _print(visible(side_by_side(*documents), keep="\n"))
    if plot_path:
        with exit_on_error():
            plot(documents, plot_path)


def _compare_devices(
    plan: Plan,
    devices: list[str],
    tokens: int | None,
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    from ftsdk.bench.devices import run_devices
    from ftsdk.bench.tables import compare_devices

    def open_on(device: str) -> Analyzer:
        return _open(replace(plan, device=device), tokens)

    with exit_on_error(), err.status("measuring"):
        document = run_devices(devices, open_on, plan.runs, plan.picture, plan.threads)
        text = visible(compare_devices(document), keep="\n")
        _save(document, text, json_path, markdown_path)
    _print(text)
    if not document["devices"]:
        raise typer.Exit(WORK_FAILED)


def _save(
    document: dict[str, Any], tables: str, json_path: Path | None, markdown_path: Path | None
) -> None:
    for path, text in ((json_path, json_text(document, indent=1)), (markdown_path, tables)):
        if path:
            with saving(path) as file:
                file.write_text(text + "\n", encoding="utf-8")


def _tables(document: dict[str, Any], layers: bool) -> str:
    from ftsdk.bench.tables import markdown

    return visible(markdown(document, layers), keep="\n")


def _open(plan: Plan, tokens: int | None) -> Analyzer:
    from ftsdk.analyzer import Analyzer

    # A repeated picture is to be analysed, not remembered.
    analyzer = Analyzer(plan.bundle, device=plan.device, threads=plan.threads, cache_bytes=0)
    if plan.beams is not None:
        analyzer.language = replace(analyzer.language, beams=plan.beams)
    if tokens is not None:
        analyzer.language = replace(analyzer.language, max_new_tokens=tokens, min_length=tokens + 1)
    return analyzer


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        document["milliseconds"], document["conditions"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise typer.BadParameter(f"{path} holds no numbers of ft-bench: {error}") from error
    return document


def _print(text: str) -> None:
    if out.is_terminal:
        Console().print(Markdown(text))
    else:
        typer.echo(text)


def main() -> None:
    """Run the command."""
    run_app(app)
