"""`ft-analyze`: where pictures may have been manipulated, and why.

Pictures without an option are answered at once. What reads options, in `analyze_options.py`, takes
longer to load than a picture takes to answer.
"""

from __future__ import annotations

import sys
from typing import Any

from ftsdk.cli.answers import Asked, answer
from ftsdk.cli.terminal import prepare, reader_left
from ftsdk.files import named


def main() -> None:
    """Run the command."""
    words = sys.argv[1:]
    if not words or any(word.startswith("-") for word in words):
        from ftsdk.cli.console import run_app

        run_app(__getattr__("app"))
        return
    prepare()
    try:
        raise SystemExit(answer(Asked([named(word) for word in words])))
    except BrokenPipeError:
        reader_left()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from ftsdk.cli.analyze_options import app

    return app
