"""Untouched photographs with an index as a data set, each with its source.

    python -m ft_eval.photographs PHOTOS OUT.json [--kind face] [--split validation] [--faces CROPS]

PHOTOS holds `index.json`, a list of `file`, `source`, `split` and `kind`; OUT.json is what
`ft-eval --data` reads. With `--faces`, it holds the photographs of which that face folder
(`ft_forge.photographs`) has a validation face, and so none that training has under another name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ft_forge.faces import FaceSet
from ftsdk.errors import DataNotFoundError


def records(
    photos: Path, kind: str, split: str, faces: Path | None = None
) -> list[dict[str, object]]:
    """Return a record for each photograph of a kind ("face", "scene") and split; "" is any.

    And, where `faces` is a face folder, of which that has a validation face.

    Raises:
        DataNotFoundError: none is of that kind and split.
    """
    index = json.loads((photos / "index.json").read_text(encoding="utf-8"))
    held = {(one.source, one.photograph) for one in FaceSet(faces).split()[1]} if faces else None
    chosen = [
        {
            "image_id": entry["file"], "instance_id": number, "source": entry["source"],
            "img_path": str((photos / entry["file"]).resolve()), "forged": False,
        }
        for number, entry in enumerate(index)
        if entry.get("kind", "").startswith(kind) and entry["split"].startswith(split)
        if held is None or (entry["source"], entry["file"]) in held
    ]  # fmt: skip
    if not chosen:
        raise DataNotFoundError(
            f"{photos} has no such photograph.",
            expected=f"an index with kind {kind or 'any'} and split {split or 'any'}",
            found=f"{len(index)} others",
            cure="leave --kind, --split or --faces out",
        )
    return chosen


def main(
    photos: Annotated[Path, typer.Argument(help="The folder with index.json.")],
    out: Annotated[Path, typer.Argument(help="The record file to write.")],
    kind: Annotated[str, typer.Option(help="face or scene; any if left out.")] = "",
    split: Annotated[str, typer.Option(help="train or validation; any if left out.")] = "",
    faces: Annotated[
        Path | None, typer.Option(help="Only those with a validation face in this face folder.")
    ] = None,
) -> None:
    """Write the records of untouched photographs, for ft-eval --data."""
    chosen = records(photos, kind, split, faces)
    out.write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
