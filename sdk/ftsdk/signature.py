"""An Ed25519 signature of a bundle's manifest, whose hashes cover every file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftsdk.errors import BundleUntrustedError, OptionError, PackageBrokenError
from ftsdk.files import open_regular, write_atomically

SIGNATURE_NAME = "manifest.sig"
_BYTES = 64
_MOST_KEY = 1 << 16


def sign_bundle(folder: Path, sha256: str, key: Path) -> None:
    """Write `manifest.sig`: the raw signature of the manifest's SHA-256, 64 bytes.

    Args:
        folder: the bundle.
        sha256: of its manifest.json, in hex.
        key: a PEM file with an Ed25519 private key and no password.

    Raises:
        OptionError: it is no such key.
        PackageBrokenError: `ftsdk[trust]` is not installed.
    """
    private = _load(key, "private", lambda keys, pem: keys.load_pem_private_key(pem, None))
    write_atomically(folder / SIGNATURE_NAME, private.sign(_signed(sha256)))


def require_signature(folder: Path, sha256: str, key: Path) -> None:
    """Verify `manifest.sig` against the manifest's SHA-256.

    Args:
        folder: the bundle.
        sha256: of the manifest.json that was read, in hex.
        key: a PEM file with the Ed25519 public key of whom the caller trusts.

    Raises:
        BundleUntrustedError: the bundle is not signed, or not with that key.
        OptionError: the file is no such key.
        PackageBrokenError: `ftsdk[trust]` is not installed.
    """
    public = _load(key, "public", lambda keys, pem: keys.load_pem_public_key(pem))
    from cryptography.exceptions import InvalidSignature

    try:
        with open_regular(folder / SIGNATURE_NAME) as file:
            signature = file.read(_BYTES + 1)
        public.verify(signature, _signed(sha256))
    except (OSError, InvalidSignature) as error:
        found = "another" if isinstance(error, InvalidSignature) else error.strerror or str(error)
        raise BundleUntrustedError(
            f"{folder} is not signed by whom you trust",
            expected=f"a signature in {SIGNATURE_NAME} that {key} verifies",
            found=found,
            cure="get the bundle again from where it was made, or ask its maker for the public key",
        ) from error


def _signed(sha256: str) -> bytes:
    return bytes.fromhex(sha256)


def _load(path: Path, kind: str, load: Callable[[Any, bytes], Any]) -> Any:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise PackageBrokenError(
            "signatures need the package cryptography",
            expected="cryptography",
            found=str(error),
            cure='pip install "ftsdk[trust]"',
        ) from error
    try:
        with open_regular(path) as file:
            key = load(serialization, file.read(_MOST_KEY))
        if not type(key).__name__.startswith("Ed25519"):
            raise ValueError(f"another kind of key: {type(key).__name__}")
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OptionError(
            f"{path} is no {kind} key",
            expected=f"a PEM file with an Ed25519 {kind} key, without a password",
            found=str(error)[:200],
            cure="openssl genpkey -algorithm ed25519 -out key.pem; "
            "openssl pkey -in key.pem -pubout -out key.pub.pem",
        ) from error
    return key
