"""`ft-export --triton`: what was written, and what is to be done with it."""

from __future__ import annotations

from pathlib import Path

from ftsdk.bundle import Bundle
from ftsdk.cli.console import err, shown
from ftsdk.cli.terminal import print_json


def show_model(bundle: Bundle, repository: Path, as_json: bool) -> None:
    """Write a bundle into a model repository, and say how it is served."""
    from ft_export.triton.repository import write_model

    model = write_model(bundle, repository)
    if as_json:
        print_json({"model": str(model)})
        return
    err.print(
        f"{shown(model)}: its requirements.txt says what Triton's Python needs; then "
        f"tritonserver --model-repository {shown(repository)}",
        soft_wrap=True,
    )
