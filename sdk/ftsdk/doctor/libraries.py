"""TensorRT as it is installed: every shared library of it, and the Python modules."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path

from ftsdk import machine
from ftsdk.doctor.findings import Findings
from ftsdk.engines.tensorrt import MODULES
from ftsdk.errors import PackageBrokenError, PackageConflictError

_LIBRARY = re.compile(r"(libnvinfer(?:_lean|_dispatch)?|libtensorrt_rtx)\.so(?:\.([\d.]+))?")
_FOLDERS = (
    "/usr/lib", "/usr/lib64", "/usr/lib/*-linux-gnu", "/usr/local/lib", "/opt/tensorrt*/lib",
    "/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/usr/local/tensorrt*/lib",
)  # fmt: skip


@dataclass(frozen=True)
class Library:
    """A shared library; its version is as long as its name or its package says."""

    name: str
    version: str
    path: Path


def check_tensorrt_libraries(folders: Iterable[Path] | None = None) -> Findings:
    """List every TensorRT, and find two versions of one, or a module that does not load.

    Args:
        folders: where to look for shared libraries; None is wherever the loader would.
    """
    found = Findings("TensorRT")
    libraries = [*find_libraries(search_path() if folders is None else folders)]
    for library in libraries:
        found.facts[str(library.path)] = f"{library.name} {library.version or 'of unknown version'}"
    bindings = {}
    for module in MODULES:
        if importlib.util.find_spec(module) is None:
            continue
        try:
            bindings[module] = str(importlib.import_module(module).__version__)
            found.facts[f"Python module {module}"] = bindings[module]
        except (ImportError, OSError, AttributeError) as error:
            found.add(f"Python module {module}", _does_not_load(module, str(error)))
    found.faults += conflicts(libraries, bindings)
    if not found.facts:
        found.facts["installed"] = "none"
    return found


def find_libraries(folders: Iterable[Path]) -> Iterator[Library]:
    """Yield every libnvinfer and libtensorrt_rtx in `folders`, each file once."""
    seen: set[Path] = set()
    packaged = dict(_packaged())
    for file in chain.from_iterable(sorted(folder.glob("lib*.so*")) for folder in folders):
        if not _LIBRARY.fullmatch(file.name):
            continue
        path = file.resolve()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        named = _LIBRARY.fullmatch(path.name) or _LIBRARY.fullmatch(file.name)
        assert named is not None  # the link's own name matched
        yield Library(named[1], packaged.get(path) or named[2] or "", path)


def conflicts(
    libraries: Iterable[Library], bindings: dict[str, str]
) -> Iterator[PackageConflictError]:
    """Yield a fault for each TensorRT of which two versions are here.

    A plan of one version is refused by the other, with "version tag does not match".
    """
    for module, name in (("tensorrt", "libnvinfer"), ("tensorrt_rtx", "libtensorrt_rtx")):
        places = {str(one.path): one.version for one in libraries if one.name == name}
        if module in bindings:
            places[f"the Python module {module}"] = bindings[module]
        versions = {_release(version) for version in places.values()} - {None}
        if len(versions) > 1:
            yield PackageConflictError(
                f"{len(versions)} versions of {module} are installed",
                expected="one, with which engines are built and run",
                found="; ".join(f"{version} in {place}" for place, version in places.items()),
                cure="uninstall all but one, then run: ft-doctor --clear-engines, and "
                "ft-export BUNDLE --engines this",
            )


def search_path() -> Iterator[Path]:
    """Yield the directories that a loader, or a TensorRT package, looks into."""
    yield from (Path(p) for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p)
    yield from sorted({path.parent for path, _ in _packaged()})
    for pattern in _FOLDERS:
        yield from sorted(Path("/").glob(pattern.removeprefix("/")))
    cached = machine.run(("ldconfig", "-p"))
    lines = (cached.text if cached else "").splitlines()
    yield from sorted({Path(line.split(" => ")[1]).parent for line in lines if " => " in line})


def _packaged() -> Iterator[tuple[Path, str]]:
    """Yield the libraries that Python packages brought, and those packages' versions."""
    for installed in metadata.distributions():
        if not (installed.metadata["Name"] or "").startswith("tensorrt"):
            continue
        for file in installed.files or ():
            if _LIBRARY.fullmatch(file.name):
                yield Path(str(file.locate())).resolve(), installed.version


def _release(version: str) -> str | None:
    """Return major, minor and patch; None where a name does not say them all."""
    parts = version.split(".")
    return ".".join(parts[:3]) if len(parts) > 2 else None


def _does_not_load(module: str, found: str) -> PackageBrokenError:
    return PackageBrokenError(
        f"the module {module} is installed and does not load",
        expected="its shared libraries, of its own version",
        found=found[:400],
        cure='pip install "ftsdk[rtx]"'
        if module == "tensorrt_rtx"
        else "install NVIDIA's own TensorRT packages (on a Jetson: apt-get install tensorrt "
        "python3-libnvinfer), and not the one of the public index",
    )
