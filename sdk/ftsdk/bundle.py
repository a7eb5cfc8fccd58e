"""A bundle on disk, and the proof that every file is the right one.

A bundle is a directory. `manifest.json` lists every other file with size and SHA-256; nothing is
read before its hash has been compared, and nothing in a bundle is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftsdk.consistency import contradictions
from ftsdk.errors import (
    BundleFileAlteredError,
    BundleFileExtraError,
    BundleFileMissingError,
    BundleNotFoundError,
    BundlePathError,
    ManifestError,
    ManifestVersionError,
)
from ftsdk.manifest import FileEntry, Manifest
from ftsdk.trust import BundleName

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = 1
_CHUNK = 1 << 20
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}"
_PLAIN_PATH = re.compile(rf"{_NAME}(/{_NAME}){{0,9}}")


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: the directory.
        manifest: its parsed manifest.
        sha256: hash of manifest.json, which covers every file.
    """

    path: Path
    manifest: Manifest
    sha256: str

    def file(self, name: str) -> Path:
        """Return the path of a file that the manifest lists."""
        return self.path / name


def open_bundle(bundle: str | Path | BundleName | None) -> Bundle:
    """Parse the manifest of a bundle and verify every file.

    Args:
        bundle: a directory, `nano`, or either with a pin; see `BundleName.of`.

    Raises:
        OptionError: the pin is no SHA-256.
        BundleUntrustedError: it is not the bundle that was pinned.
        BundleNotFoundError: no manifest is there.
        ManifestError, ManifestVersionError: it does not parse strictly.
        BundlePathError: it names a path outside the bundle.
        BundleFileMissingError, BundleFileExtraError, BundleFileAlteredError: the files differ.
    """
    name = BundleName.of(bundle)
    root = name.folder
    raw = _read_manifest(root)
    sha256 = hashlib.sha256(raw).hexdigest()
    name.require(sha256)
    manifest = _parse(raw, root)
    _verify_paths(manifest, root)
    _verify_files(manifest, root)
    return Bundle(root, manifest, sha256)


def _read_manifest(root: Path) -> bytes:
    try:
        return (root / MANIFEST_NAME).read_bytes()
    except OSError as error:
        raise BundleNotFoundError(
            f"there is no bundle at {root}",
            expected=f"a directory with {MANIFEST_NAME}",
            found=error.strerror or type(error).__name__,
            cure="pass the directory that `ft-export ... --out DIR` wrote",
        ) from error


def _parse(raw: bytes, root: Path) -> Manifest:
    try:
        version = json.loads(raw, object_pairs_hook=_unique).get("manifest_version")
    except (ValueError, AttributeError, RecursionError) as error:
        raise _manifest_error(root, f"no JSON object: {error}") from error
    if type(version) is not int or version != MANIFEST_VERSION:
        raise ManifestVersionError(
            f"the bundle at {root} has another manifest version",
            expected=str(MANIFEST_VERSION),
            found=repr(version),
            cure="export it again with this ftsdk, or install the ftsdk that wrote it",
        )
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise _manifest_error(root, problems(error)) from error
    if found_together := "; ".join(contradictions(manifest)):
        raise _manifest_error(root, found_together)
    return manifest


def problems(error: ValidationError) -> str:
    """Return each field that is wrong, and why, on one line."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, at['loc'])) or 'all'}: {at['msg']}" for at in found)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"twice: {', '.join(n for n in fields if names.count(n) > 1)}")
    return fields


def _manifest_error(root: Path, found: str) -> ManifestError:
    return ManifestError(
        f"the manifest of {root} is not valid",
        expected=f"every field of manifest version {MANIFEST_VERSION} and nothing else",
        found=found[:600],
        cure="export the bundle again; a manifest is not meant to be edited",
    )


def _named_files(manifest: Manifest) -> Iterator[str]:
    yield from (stage.graph for stage in manifest.stages.values())
    yield from (manifest.language.token_embeddings, manifest.language_tokenizer.file)
    yield from (manifest.golden_picture, manifest.golden_tensors)
    if manifest.qformer_tokenizer:
        yield manifest.qformer_tokenizer.file


def _verify_paths(manifest: Manifest, root: Path) -> None:
    for name in (*manifest.files, *_named_files(manifest)):
        if not _PLAIN_PATH.fullmatch(name) or name == MANIFEST_NAME or _leads_out(root, name):
            raise BundlePathError(
                f"the manifest of {root} names a path that may not be in a bundle",
                expected="plain relative paths inside the bundle",
                found=repr(name)[:400],
                cure="do not use this bundle; get it again from where it was made",
            )
    unlisted = set(_named_files(manifest)) - manifest.files.keys()
    if unlisted:
        raise _manifest_error(root, f"files without a hash: {', '.join(sorted(unlisted))}")


def _leads_out(root: Path, name: str) -> bool:
    try:
        return not (root / name).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a link that leads to itself
        return True


def _verify_files(manifest: Manifest, root: Path) -> None:
    missing = sorted(name for name in manifest.files if not (root / name).is_file())
    if missing:
        raise BundleFileMissingError(
            f"the bundle at {root} is incomplete",
            expected=", ".join(missing),
            found="no such file",
            cure="copy the whole directory again, or export the bundle again",
        )
    present = (path for path in root.rglob("*") if path.is_symlink() or not path.is_dir())
    names = {path.relative_to(root).as_posix() for path in present} - {MANIFEST_NAME}
    extra = sorted(names - manifest.files.keys())
    if extra:
        raise BundleFileExtraError(
            f"the bundle at {root} holds files that its manifest does not list",
            expected="only listed files",
            found=", ".join(extra),
            cure="remove them; a bundle is not a place to keep other files",
        )
    for name, entry in manifest.files.items():
        _verify_file(root / name, entry)


def _verify_file(path: Path, entry: FileEntry) -> None:
    try:
        size = path.stat().st_size
        found = f"{size} bytes" if size != entry.size else f"SHA-256 {sha256_of(path)}"
    except OSError as error:
        size, found = entry.size, error.strerror or type(error).__name__
    expected = f"{entry.size} bytes" if size != entry.size else f"SHA-256 {entry.sha256}"
    if found != expected:
        raise BundleFileAlteredError(
            f"{path} is not the file that was exported",
            expected=expected,
            found=found,
            cure="copy it again, or export the bundle again",
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
