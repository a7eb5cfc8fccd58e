"""Signed bundles."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_bundle
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from raising import raised
from typer.testing import CliRunner

from ft_export.cli import app
from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.errors import BundleUntrustedError, OptionError
from ftsdk.signature import SIGNATURE_NAME, sign_bundle

PEM = serialization.Encoding.PEM


def write_keys(
    folder: Path, name: str, private: Ed25519PrivateKey | EllipticCurvePrivateKey
) -> tuple[Path, Path]:
    """Write a private and a public key as openssl does."""
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(private.private_bytes(PEM, form, serialization.NoEncryption()))
    public_form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(private.public_key().public_bytes(PEM, public_form))
    return secret, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "maker", Ed25519PrivateKey.generate())


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    bundle = tiny_bundle.write(tmp_path / "tiny.bundle")
    sign_bundle(bundle, open_bundle(bundle).sha256, keys[0])
    return bundle


def test_a_signed_bundle_opens_for_who_trusts_its_maker(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    assert open_bundle(signed, trusted=keys[1]).sha256 == open_bundle(signed).sha256


def test_the_signature_is_plain_ed25519_of_the_hash(signed: Path, keys: tuple[Path, Path]) -> None:
    public = serialization.load_pem_public_key(keys[1].read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    signature = (signed / SIGNATURE_NAME).read_bytes()
    public.verify(signature, bytes.fromhex(open_bundle(signed).sha256))


@pytest.mark.parametrize("damage", ["none", "empty", "flipped", "longer", "another's", "changed"])
def test_any_other_is_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path, damage: str
) -> None:
    path = signed / SIGNATURE_NAME
    good = path.read_bytes()
    if damage == "none":
        path.unlink()
    elif damage == "another's":
        stranger, _ = write_keys(tmp_path, "stranger", Ed25519PrivateKey.generate())
        sign_bundle(signed, open_bundle(signed).sha256, stranger)
    elif damage == "changed":
        tiny_bundle.write(signed, lambda manifest: manifest.update(region_threshold=0.9))
    else:
        bad = {"empty": b"", "flipped": bytes([good[0] ^ 1]) + good[1:], "longer": good + b"0"}
        path.write_bytes(bad[damage])
    open_bundle(signed)
    raised(BundleUntrustedError, lambda: Analyzer(signed, trusted=keys[1]))


def test_what_is_no_ed25519_key_is_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    other_secret, other_public = write_keys(tmp_path, "ec", generate_private_key(SECP256R1()))
    (tmp_path / "text").write_text("no key", encoding="utf-8")
    for key in (keys[0], other_public, tmp_path / "text", tmp_path / "nowhere", tmp_path):
        raised(OptionError, lambda key=key: open_bundle(signed, trusted=key))
    for key in (keys[1], other_secret, tmp_path / "text"):
        raised(OptionError, lambda key=key: sign_bundle(signed, "0" * 64, key))


def test_the_command_signs_a_bundle(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / SIGNATURE_NAME).unlink()
    done = CliRunner().invoke(app, [str(signed), "--sign", str(keys[0]), "--json"])
    assert done.exit_code == 0, done.output
    open_bundle(signed, trusted=keys[1])
