"""What a check returns: facts to read, and faults with their cures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ftsdk.errors import FtsdkError, PackageBrokenError


@dataclass
class Findings:
    """What one check saw.

    Attributes:
        name: of the check.
        facts: by what they are about, in words.
        faults: what is wrong; empty is healthy.
    """

    name: str
    facts: dict[str, str] = field(default_factory=dict)
    faults: list[FtsdkError] = field(default_factory=list)

    @contextmanager
    def collecting(self, about: str) -> Iterator[None]:
        """Turn an error inside into a fault, and into the fact that `about` does not work."""
        try:
            yield
        except FtsdkError as error:
            self.add(about, error)
        except (ImportError, OSError) as error:
            self.add(about, broken_package(str(error)))

    def add(self, about: str, fault: FtsdkError) -> None:
        """Note a fault, and the fact that goes with it."""
        self.facts[about] = f"fault: {fault.found}"
        self.faults.append(fault)


def broken_package(found: str) -> PackageBrokenError:
    """Return the fault of a package that does not import, with the cure that `found` suggests."""
    cure = 'pip install --force-reinstall "ftsdk[cpu]" (or "ftsdk[gpu]")'
    if "libGL" in found or "libgthread" in found:
        cure = (
            "apt-get install libgl1 libglib2.0-0, or "
            "pip uninstall opencv-python && pip install 'opencv-python-headless<5'"
        )
    return PackageBrokenError(
        "an installed package does not load",
        expected="every dependency of ftsdk and its shared libraries",
        found=found[:400],
        cure=cure,
    )
