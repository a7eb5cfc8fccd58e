"""`ft-doctor`: what is installed, what it can really do here, and the cure for each fault."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from ftsdk.cli.console import BundleOption, VersionOption, err, out, run_app, shown
from ftsdk.cli.terminal import WORK_FAILED, exit_on_error, print_json, show_error
from ftsdk.doctor.examination import examine
from ftsdk.doctor.findings import Findings
from ftsdk.engines.device_name import require_device_name
from ftsdk.trust import BundleName
from ftsdk.version import __version__

SCHEMA_VERSION = 1
_EXAMPLE = "Examples: ft-doctor --device cuda:0 --bundle xl.bundle | ft-doctor --json | jq .healthy"

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def doctor(
    bundle: BundleOption = None,
    device: Annotated[
        str,
        typer.Option(
            help="What has to work: auto (whatever is here), cpu, cuda, cuda:N or a provider's."
        ),
    ] = "auto",
    clear_engines: Annotated[
        bool,
        typer.Option("--clear-engines", help="Delete the bundle's built engines, and stop."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    _version: VersionOption = False,
) -> None:
    """Examine this machine and this installation; exit code 1 where something is wrong."""
    with exit_on_error():
        if clear_engines:
            _clear(bundle, as_json)
            return
        require_device_name(device)
    findings = []
    with err.status("examining") as status:
        for found in examine(bundle, device):
            status.update(f"examined: {found.name}")
            findings.append(found)
            if not as_json:
                _show(found)
    # What breaks one check often breaks the next in the same words.
    faults = {str(fault): fault for found in findings for fault in found.faults}.values()
    if as_json:
        print_json(_document(findings), indent=1)
    else:
        count = f"[bold red]{len(faults)} faults[/]" if len(faults) > 1 else "[bold red]1 fault[/]"
        out.print(count if faults else "[bold green]healthy[/]")
        for fault in faults:
            show_error(fault)
    if faults:
        raise typer.Exit(WORK_FAILED)


def _clear(bundle: BundleName | None, as_json: bool) -> None:
    from ftsdk.engines.cache import EngineCache

    folder = BundleName.of(bundle).folder
    cache = EngineCache.beside(folder)
    if not folder.is_dir() and not cache.folder.is_dir():
        raise typer.BadParameter(f"there is no bundle at {folder}", param_hint="--bundle")
    freed = cache.clear()
    if as_json:
        print_json({"folder": str(cache.folder), "freed_bytes": freed})
    else:
        out.print(f"{freed} bytes freed in {shown(cache.folder)}", soft_wrap=True)


def _show(found: Findings) -> None:
    out.print(f"[bold]{shown(found.name)}[/]")
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for about, fact in found.facts.items():
        table.add_row("", f"[dim]{shown(about)}[/]", shown(fact))
    out.print(table)


def _document(findings: list[Findings]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "ftsdk": __version__,
        "healthy": not any(found.faults for found in findings),
        "checks": [
            {
                "name": found.name,
                "facts": found.facts,
                "faults": [fault.to_dict() for fault in found.faults],
            }
            for found in findings
        ],
    }


def main() -> None:
    """Run the command."""
    run_app(app)
