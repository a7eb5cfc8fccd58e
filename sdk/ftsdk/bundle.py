"""A bundle on disk, and the proof that every file is the right one.

A bundle is a directory. `manifest.json` lists every other file with size and SHA-256; nothing is
used before its hash has been compared, the bytes that were hashed are those that are used, and
nothing in a bundle is ever unpickled. A file may be a link to wherever it is kept, as in the cache
of a model hub: its content is proven all the same. A directory in it may not. What the manifest
does not list, such as a hub's README, is never opened.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ftsdk.consistency import contradictions
from ftsdk.errors import (
    BundleContentError,
    BundleFileMissingError,
    BundleNotFoundError,
    BundlePathError,
    ManifestError,
    ManifestVersionError,
)
from ftsdk.files import open_regular
from ftsdk.machine import cores
from ftsdk.manifest import Manifest
from ftsdk.numpy_files import arrays_in
from ftsdk.signature import require_signature
from ftsdk.strict import StrictError, read
from ftsdk.trust import BundleName
from ftsdk.verified import BundleGraph, Seal, SealedFile, read_verified, seal_verified

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = 1
_CHUNK = 1 << 20
#: A file of more bytes is not kept from the moment that it is hashed until it is read.
_MOST_KEPT = 16 << 20
_MOST_MANIFEST = 16 << 20
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}"
_PLAIN_PATH = re.compile(rf"{_NAME}(/{_NAME}){{0,9}}")


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: the directory.
        manifest: its parsed manifest.
        sha256: hash of manifest.json, which covers every file.
        seals: which file was hashed, by name, of those that are large or that a runtime maps.
        unread: the bytes that were hashed of the others, until they are first read.
    """

    path: Path
    manifest: Manifest
    sha256: str
    seals: Mapping[str, Seal] = field(default_factory=dict, repr=False)
    unread: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def file(self, name: str) -> Path:
        """Return the path of a file that the manifest lists; to load it, `read` it."""
        return self.path / name

    def read(self, name: str) -> bytes:
        """Return the bytes of a file, which are those that the manifest's hash is of.

        Raises:
            BundleFileAlteredError: they are not kept, and the file is another now.
        """
        kept = self.unread.pop(name, None)
        return read_verified(self.file(name), self.manifest.files[name]) if kept is None else kept

    def golden(self) -> dict[str, NDArray[Any]]:
        """Return the float32 reference's tensors for the golden picture, by name.

        `report_ids` [1, T] whole numbers, `mask_logits` [1, M, M], `qformer_output` [1, Q, D], and
        what else the stages give.

        Raises:
            BundleFileAlteredError: the file is another now.
            BundleContentError: it holds something else, or is packed.
        """
        content = self.read(self.manifest.golden_tensors)
        try:
            tensors = arrays_in(content)
            _check_golden(tensors, self.manifest)
        except ValueError as error:
            raise BundleContentError(
                f"the golden tensors of the bundle at {self.path} cannot be used",
                expected="an .npz of the stages' tensors, not packed",
                found=str(error)[:400],
                cure="export the bundle again",
            ) from error
        return tensors

    def graph(self, stage: str) -> BundleGraph:
        """Return a stage's graph, its bytes proven.

        Raises:
            BundleFileAlteredError: see `read`.
        """
        name = self.manifest.stages[stage].graph
        seal = self.seals.get(f"{name}.data")
        weights = SealedFile(self.file(f"{name}.data"), seal) if seal else None
        return BundleGraph(Path(name).name, self.read(name), weights)

    def forget_unread(self) -> None:
        """Free what nobody has read; whoever reads it later has it hashed again."""
        self.unread.clear()


def open_bundle(
    bundle: str | Path | BundleName | None, trusted: str | Path | None = None
) -> Bundle:
    """Parse the manifest of a bundle and verify every file.

    Args:
        bundle: a directory, `nano`, or either with a pin; see `BundleName.of`.
        trusted: a PEM file with an Ed25519 public key; only a bundle that it signed is opened.

    Raises:
        OptionError: the pin is no SHA-256.
        BundleUntrustedError: it is not the bundle that was pinned, or not signed by `trusted`.
        BundleNotFoundError: no manifest is there.
        ManifestError, ManifestVersionError: it does not parse strictly.
        BundlePathError: it names a path outside the bundle.
        BundleFileMissingError, BundleFileAlteredError: the files differ.
    """
    name = BundleName.of(bundle)
    root = name.folder
    raw = _read_manifest(root)
    sha256 = hashlib.sha256(raw).hexdigest()
    name.require(sha256)
    if trusted is not None:
        require_signature(root, sha256, Path(trusted))
    manifest = _parse(raw, root)
    _verify_paths(manifest, root)
    _verify_presence(manifest, root)
    seals, unread = _verify_content(manifest, root)
    return Bundle(root, manifest, sha256, seals, unread)


def _read_manifest(root: Path) -> bytes:
    try:
        with open_regular(root / MANIFEST_NAME) as file:
            raw = file.read(_MOST_MANIFEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise BundleNotFoundError(
            f"there is no bundle at {root}",
            expected=f"a directory with {MANIFEST_NAME}",
            found=getattr(error, "strerror", None) or str(error),
            cure="pass the directory that `ft-export ... --out DIR` wrote",
        ) from error
    if len(raw) > _MOST_MANIFEST:
        raise _manifest_error(root, f"more than {_MOST_MANIFEST >> 20} MiB")
    return raw


def _parse(raw: bytes, root: Path) -> Manifest:
    try:
        content = json.loads(raw.decode(), object_pairs_hook=_unique)
        version = content.get("manifest_version")
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
        manifest = read(Manifest, content)
    except StrictError as error:
        raise _manifest_error(root, str(error)) from error
    if found_together := "; ".join(contradictions(manifest)):
        raise _manifest_error(root, found_together)
    return manifest


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
    """Say whether a directory on the way to a file is a link."""
    try:
        return any((root / folder).is_symlink() for folder in [*Path(name).parents][:-1])
    except (OSError, ValueError):
        return True


def _verify_presence(manifest: Manifest, root: Path) -> None:
    missing = sorted(name for name in manifest.files if not (root / name).is_file())
    if missing:
        raise BundleFileMissingError(
            f"the bundle at {root} is incomplete",
            expected=", ".join(missing),
            found="no such file",
            cure="copy the whole directory again, or export the bundle again",
        )


def _verify_content(manifest: Manifest, root: Path) -> tuple[dict[str, Seal], dict[str, bytes]]:
    """Hash every file, as many at once as there are cores; return seals, and small files' bytes."""

    def verify(name: str) -> Seal | bytes:
        entry = manifest.files[name]
        mapped = name.endswith(".data") or entry.size > _MOST_KEPT
        return (seal_verified if mapped else read_verified)(root / name, entry)

    largest_first = sorted(manifest.files, key=lambda name: -manifest.files[name].size)
    with ThreadPoolExecutor(cores()) as pool:
        found = [*zip(largest_first, pool.map(verify, largest_first), strict=True)]
    seals = {name: proof for name, proof in found if isinstance(proof, Seal)}
    return seals, {name: proof for name, proof in found if isinstance(proof, bytes)}


def _check_golden(tensors: Mapping[str, NDArray[Any]], manifest: Manifest) -> None:
    known = {name for stage in manifest.stages.values() for name in stage.outputs}
    if unknown := tensors.keys() - known - {"report_ids"}:
        raise ValueError(f"tensors that no stage gives: {', '.join(sorted(unknown))}")
    sides = (1, manifest.mask_size, manifest.mask_size)
    for name, kinds, shape in (
        ("report_ids", "iu", (1, None)),
        ("mask_logits", "f", sides),
        ("qformer_output", "f", (1, None, None)),
    ):
        if name not in tensors:
            raise ValueError(f"no {name}")
        found = tensors[name]
        fits = len(found.shape) == len(shape) and all(
            side > 0 if wanted is None else side == wanted
            for side, wanted in zip(found.shape, shape, strict=True)
        )
        if found.dtype.kind not in kinds or not fits:
            raise ValueError(f"{name} of {found.dtype} {found.shape}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
