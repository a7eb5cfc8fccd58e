"""The bundle in the package: copied there, and pinned in code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

import ftsdk.embedded
from ftsdk.bundle import MANIFEST_NAME, Bundle, open_bundle
from ftsdk.cli.console import out
from ftsdk.cli.terminal import exit_on_error
from ftsdk.errors import OptionError
from ftsdk.files import write_atomically
from ftsdk.trust import NANO, BundleName

_PIN = '''\
"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "{sha256}"
'''


def embed(source: Path, folder: Path = NANO, pin: Path = Path(ftsdk.embedded.__file__)) -> Bundle:
    """Put a bundle in the place of the one in the package, and pin it; return it as it is there.

    Args:
        source: the bundle; `folder` itself is only pinned.
        folder: where the package has its bundle.
        pin: the module with its hash.

    Raises:
        OptionError: it is not called nano, as every result of it would say.
        BundleError: it is not whole.
    """
    bundle = open_bundle(BundleName(source))
    if bundle.manifest.name != "nano":
        raise OptionError(
            f"{source} has another name than the bundle in the package",
            expected="nano",
            found=bundle.manifest.name,
            cure="export it with --out nano.bundle",
        )
    if source.resolve() != folder.resolve():
        _replace(bundle, folder)
    write_atomically(pin, _PIN.format(sha256=bundle.sha256).encode())
    return open_bundle(BundleName(folder, bundle.sha256))


def _replace(bundle: Bundle, folder: Path) -> None:
    fresh, old = (folder.with_name(f".{folder.name}.{word}") for word in ("new", "old"))
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    for name in (MANIFEST_NAME, *bundle.manifest.files):
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.file(name), fresh / name)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def main(
    source: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The new nano bundle.")],
) -> None:
    """Put a bundle in the place of the one in the package, and pin its hash.

    Example: python -m ft_export.bundle.embed nano.bundle
    """
    with exit_on_error():
        bundle = embed(source)
        out.print(f"{bundle.path} is pinned to {bundle.sha256}", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
