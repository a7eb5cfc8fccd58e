"""Whose bundle it is: the package's own, one pinned by its hash, or one that somebody signed.

The hashes in a manifest say that the files are whole, not who wrote them: whoever changes a file
can write its new hash. What is compared here comes from outside the bundle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ftsdk.embedded import NANO_SHA256
from ftsdk.errors import BundleUntrustedError, OptionError

#: The bundle in the package.
NANO = Path(__file__).parent / "models" / "nano"
_PIN = re.compile(r"(?P<folder>.*)@sha256:(?P<sha256>[^/]*)", re.DOTALL)


@dataclass(frozen=True)
class BundleName:
    """Where a bundle is, and which one it has to be.

    Attributes:
        folder: its directory.
        sha256: of its manifest.json; None takes whichever is there.
    """

    folder: Path
    sha256: str | None = None

    @classmethod
    def of(cls, bundle: str | Path | BundleName | None) -> BundleName:
        """Return what was named: None and `nano` are the one in the package.

        `FOLDER@sha256:HEX` pins a bundle. A directory of such a name is a `Path`, or `"./nano"`.

        Raises:
            OptionError: the pin is no SHA-256.

        Examples:
            >>> BundleName.of("xl.bundle@sha256:" + 64 * "0").folder.name
            'xl.bundle'
        """
        if isinstance(bundle, BundleName):
            return bundle
        if bundle is None:
            return cls(NANO, NANO_SHA256)
        pinned = _PIN.fullmatch(bundle) if isinstance(bundle, str) else None
        if pinned is None:
            folder = NANO if bundle == "nano" else Path(bundle)
            return cls(folder, NANO_SHA256 if _is_nano(folder) else None)
        sha256 = pinned["sha256"].lower()
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise OptionError(
                f"{bundle} does not say which bundle it has to be",
                expected="FOLDER@sha256: and 64 hexadecimal digits",
                found=pinned["sha256"] or "nothing after the colon",
                cure="pass the hash that `sha256sum FOLDER/manifest.json` prints",
            )
        return cls(NANO if pinned["folder"] == "nano" else Path(pinned["folder"]), sha256)

    def resolved(self) -> BundleName:
        """Return the same bundle, wherever the process goes."""
        return BundleName(self.folder.resolve(), self.sha256)

    def require(self, found: str) -> None:
        """Raise BundleUntrustedError unless the manifest with SHA-256 `found` is the one named."""
        if self.sha256 in (None, found):
            return
        own = _is_nano(self.folder)
        raise BundleUntrustedError(
            f"{self.folder} is not the bundle that {'ftsdk came with' if own else 'was pinned'}",
            expected=f"a manifest of SHA-256 {self.sha256}",
            found=f"SHA-256 {found}",
            cure="install ftsdk again; a model of your own is a bundle elsewhere"
            if own
            else "get the bundle again from where it was made, or pin this one if you know why",
        )


def _is_nano(folder: Path) -> bool:
    try:
        return folder == NANO or folder.samefile(NANO)
    except (OSError, ValueError):
        return False
