"""`ft-forge`: make a data set of forgeries with known masks, parts and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ft_forge.faces import Entry, FaceSet
from ft_forge.recipe import DEFAULT_MIX, FAMILIES, NAMED_MIX, UNTOUCHED, Forge, Forgery
from ft_forge.records import write_records
from ft_forge.sheet import contact_sheet
from ftsdk.cli.console import VersionOption, run_app
from ftsdk.cli.terminal import exit_on_error
from ftsdk.errors import OptionError
from ftsdk.files import require_place, saving
from ftsdk.imaging.encode import encode_png

app = typer.Typer(add_completion=False)
_console = Console()

#: Pictures on a contact sheet.
_SHEET = 48


class Split(StrEnum):
    """Which identities the faces are taken from."""

    TRAIN = "train"
    VALIDATION = "validation"
    ALL = "all"


def _mix(families: str) -> dict[str, float]:
    if not families:
        return DEFAULT_MIX
    names, offered = [name.strip() for name in families.split(",")], DEFAULT_MIX | NAMED_MIX
    unknown = [name for name in names if name not in offered]
    if unknown:
        raise OptionError(
            "Unknown forgery family",
            expected=", ".join(offered),
            found=", ".join(unknown),
            cure="name families from that list, separated by commas",
        )
    return {name: offered[name] for name in names}


def _summary(families: Counter[str], out: Path) -> Table:
    table = Table("family", "pictures", title=str(out))
    for name in (*FAMILIES, UNTOUCHED):
        if families[name]:
            table.add_row(name, str(families[name]))
    return table


def _entries(faces: FaceSet, split: Split) -> list[Entry]:
    train, held_out = faces.split()
    return {Split.TRAIN: train, Split.VALIDATION: held_out, Split.ALL: faces.entries}[split]


def _make(
    faces: Path, out: Path, count: int, seed: int, families: str, split: Split, harm: float,
    sheet: Path | None,
) -> None:  # fmt: skip
    folder = FaceSet(faces)
    forge = Forge(folder, _entries(folder, split), _mix(families), seed)
    kept: list[Forgery] = []
    counts: Counter[str] = Counter()

    def made() -> Iterator[Forgery]:
        for index in track(range(count), "forging", console=_console):
            one = forge.make(index)
            counts[one.family] += 1
            if sheet is not None and len(kept) < _SHEET:
                kept.append(one)
            yield one

    write_records(made(), out, seed, harm)
    if sheet is not None:
        with saving(sheet) as file:
            file.write_bytes(encode_png(contact_sheet(kept)))
    _console.print(_summary(counts, out))


@app.command()
def forge(
    faces: Annotated[Path, typer.Argument(help="Face folder with index.json and landmarks.npz.")],
    out: Annotated[Path, typer.Argument(help="Where the data set is written.")],
    count: Annotated[int, typer.Option(min=1, help="Pictures to make.")] = 500,
    seed: Annotated[int, typer.Option(help="Same seed, same pictures.")] = 0,
    families: Annotated[
        str,
        typer.Option(
            help=f"Only these, separated by commas; {', '.join(NAMED_MIX)} are made only if named."
        ),
    ] = "",
    split: Annotated[Split, typer.Option(help="Which identities to use.")] = Split.VALIDATION,
    harm: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="How often pictures are resized, blurred or compressed afterwards."
        ),
    ] = 1.0,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet to this .png.")] = None,
    _version: VersionOption = False,
) -> None:
    """Make forgeries of real faces, for example: ft-forge faces/ set/ --count 500 --sheet s.png"""
    with exit_on_error():
        if sheet is not None:
            require_place(sheet, suffixes=(".png",))
        _make(faces, out, count, seed, families, split, harm, sheet)


def main() -> None:
    """Run the command."""
    run_app(app)
