"""What PyInstaller has to know of this package; it finds it by the entry point `hook-dirs`."""

from __future__ import annotations

from pathlib import Path


def hook_directories() -> list[str]:
    """Return where the hooks are."""
    return [str(Path(__file__).parent)]
