"""Untouched photographs with an index as a data set, each with its source.

    python -m ft_eval.photographs PHOTOS OUT.json [--kind face] [--split validation]

PHOTOS holds `index.json`, a list of `file`, `source`, `split` and `kind`; OUT.json is what
`ft-eval --data` reads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ftsdk.errors import DataNotFoundError


def records(photos: Path, kind: str, split: str) -> list[dict[str, object]]:
    """Return a record for each photograph of a kind ("face", "scene") and split; "" is any.

    Raises:
        DataNotFoundError: none is of that kind and split.
    """
    index = json.loads((photos / "index.json").read_text(encoding="utf-8"))
    chosen = [
        {
            "image_id": entry["file"], "instance_id": number, "source": entry["source"],
            "img_path": str((photos / entry["file"]).resolve()), "forged": False,
        }
        for number, entry in enumerate(index)
        if entry.get("kind", "").startswith(kind) and entry["split"].startswith(split)
    ]  # fmt: skip
    if not chosen:
        raise DataNotFoundError(
            f"{photos} has no such photograph.",
            expected=f"an index with kind {kind or 'any'} and split {split or 'any'}",
            found=f"{len(index)} others",
            cure="leave --kind or --split out",
        )
    return chosen


def main(
    photos: Annotated[Path, typer.Argument(help="The folder with index.json.")],
    out: Annotated[Path, typer.Argument(help="The record file to write.")],
    kind: Annotated[str, typer.Option(help="face or scene; any if left out.")] = "",
    split: Annotated[str, typer.Option(help="train or validation; any if left out.")] = "",
) -> None:
    """Write the records of untouched photographs, for ft-eval --data."""
    out.write_text(json.dumps(records(photos, kind, split), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
