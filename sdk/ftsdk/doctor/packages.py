"""Python packages: their versions, and those that overwrite each other's files."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from ftsdk.doctor.findings import Findings
from ftsdk.errors import (
    EngineNotInstalledError,
    FtsdkError,
    PackageBrokenError,
    PackageConflictError,
)

_RELEVANT = (
    "ftsdk", "numpy", "opencv", "onnxruntime", "tokenizers", "pydantic", "tensorrt", "cuda-",
)  # fmt: skip
#: Import names that several packages fill, and what to install in place of them all.
SHARED = {
    "onnxruntime": '"ftsdk[gpu]" on an NVIDIA GPU, else "ftsdk[cpu]"',
    "cv2": "'opencv-python<5'",
}


@dataclass(frozen=True)
class Package:
    """An installed package that fills an import name.

    Attributes:
        folder: the directory that it is installed in.
        files: its files under that import name, relative to `folder`.
        spoiled: those that are missing, or have another size than was installed.
    """

    name: str
    version: str
    folder: Path
    files: tuple[str, ...]
    spoiled: tuple[str, ...]


def check_packages(path: Sequence[str] | None = None) -> Findings:
    """List the packages that matter, and find those that clobber each other or do not import.

    Args:
        path: where to look; None is `sys.path`.
    """
    found = Findings("packages", facts=dict(versions(path)))
    for module, install in SHARED.items():
        packages = [*providers(module, path)]
        found.faults += faults_of(module, packages, install)
    with found.collecting("OpenCV"):
        importlib.import_module("ftsdk.imaging")
    return found


def versions(path: Sequence[str] | None = None) -> Iterator[tuple[str, str]]:
    """Yield name and version of every installed package that ftsdk may meet."""
    for name, installed in sorted(_distributions(path).items()):
        if name.startswith(_RELEVANT):
            yield name, installed.version


def providers(module: str, path: Sequence[str] | None = None) -> Iterator[Package]:
    """Yield every installed package that has files under the import name `module`."""
    for name, installed in sorted(_distributions(path).items()):
        folder = Path(str(installed.locate_file("")))
        files = {
            str(file): size
            for file, size in _recorded(installed)
            if file.parts[0] == module and file.suffix != ".pyc"
        }
        if files:
            spoiled = [name for name in files if not _as_installed(folder, name, files[name])]
            yield Package(name, installed.version, folder, tuple(files), tuple(spoiled))


def faults_of(module: str, packages: Sequence[Package], install: str) -> Iterator[FtsdkError]:
    """Yield what is wrong with the packages that fill one import name.

    Args:
        module: the import name.
        packages: what `providers` found.
        install: what to install in place of them.
    """
    names = " ".join(package.name for package in packages)
    cure = f"pip uninstall -y {names}, then pip install {install}"
    if len(packages) > 1:
        yield PackageConflictError(
            f"{len(packages)} packages install the module {module}, over each other's files",
            expected="exactly one of them",
            found="; ".join(map(_described, packages)),
            cure=cure,
        )
    elif not packages and module == "onnxruntime":
        yield EngineNotInstalledError(
            "no inference runtime is installed",
            expected="onnxruntime or onnxruntime-gpu",
            found="neither",
            cure=f"pip install {install}",
        )
    elif packages and packages[0].spoiled:
        first, *others = packages[0].spoiled
        yield PackageBrokenError(
            f"{packages[0].name} lacks files, as when its twin was uninstalled",
            expected=f"{len(packages[0].files)} files as they were installed",
            found=f"{first}{f' and {len(others)} others' if others else ''} missing or altered",
            cure=cure,
        )


def _described(package: Package) -> str:
    state = f", {len(package.spoiled)} of its files overwritten" if package.spoiled else ""
    return f"{package.name} {package.version} in {package.folder}{state}"


def _recorded(installed: metadata.Distribution) -> Iterator[tuple[PurePosixPath, int | None]]:
    """Yield each file that a package was installed with and its size, where that was recorded.

    `Distribution.files` leaves out, since Python 3.12, the missing ones that are looked for.
    """
    record = installed.read_text("RECORD")
    if record is None:
        yield from ((file, file.size) for file in installed.files or ())
        return
    for name, *_, size in csv.reader(record.splitlines()):
        yield PurePosixPath(name), int(size) if size else None


def _as_installed(folder: Path, file: str, size: int | None) -> bool:
    try:
        found = (folder / file).stat().st_size
    except OSError:
        return False
    return size is None or found == size


def _distributions(path: Sequence[str] | None) -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    for installed in metadata.distributions(path=[*(sys.path if path is None else path)]):
        name = installed.metadata["Name"]
        if name:  # an uninstall that was broken off leaves metadata without a name
            found.setdefault(name.lower(), installed)
    return found
