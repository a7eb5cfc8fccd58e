"""Whose bundle it is: the package's own, or one pinned by its hash."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import tiny_bundle
from raising import raised
from typer.testing import CliRunner

import ftsdk
from ftsdk.bundle import open_bundle
from ftsdk.cli import analyze
from ftsdk.embedded import NANO_SHA256
from ftsdk.errors import BundleFileAlteredError, BundleUntrustedError, OptionError
from ftsdk.trust import NANO, BundleName


def rehashed(bundle: Path) -> Path:
    """Change the thresholds of a copy of nano; its hashes are right."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["region_threshold"] = 0.99
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return bundle


def test_the_bundle_in_the_package_is_the_one_that_is_pinned() -> None:
    found = hashlib.sha256((NANO / "manifest.json").read_bytes()).hexdigest()
    assert found == NANO_SHA256, "run: python -m ft_export.bundle.embed NEW.bundle"
    assert open_bundle("nano").sha256 == open_bundle(NANO).sha256 == NANO_SHA256


def test_the_word_nano_is_never_another_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rehashed(shutil.copytree(NANO, tmp_path / "nano"))
    monkeypatch.setattr("ftsdk.trust.NANO", other)
    for name in (None, "nano", other):
        error = raised(BundleUntrustedError, lambda name=name: ftsdk.Analyzer(name))
        assert NANO_SHA256 in error.expected


def test_a_pinned_bundle_is_that_one_or_none(tmp_path: Path) -> None:
    bundle = tiny_bundle.write(tmp_path / "tiny.bundle")
    sha256 = open_bundle(bundle).sha256
    assert open_bundle(f"{bundle}@sha256:{sha256}").sha256 == sha256
    assert open_bundle(f"{bundle}@sha256:{sha256.upper()}").path == bundle
    tiny_bundle.write(bundle, lambda manifest: manifest.update(region_threshold=0.9))
    open_bundle(bundle)
    error = raised(BundleUntrustedError, lambda: open_bundle(f"{bundle}@sha256:{sha256}"))
    assert sha256 in error.expected


def test_a_pin_covers_every_file(tmp_path: Path) -> None:
    bundle = tiny_bundle.write(tmp_path / "tiny.bundle")
    pinned = f"{bundle}@sha256:{open_bundle(bundle).sha256}"
    (bundle / "graphs/qformer.onnx").write_bytes(b"q" * 280)
    raised(BundleFileAlteredError, lambda: open_bundle(pinned))


@pytest.mark.parametrize("pin", ["", "abc", "0" * 63, "0" * 65, "g" * 64])
def test_what_is_no_hash_pins_nothing(pin: str) -> None:
    raised(OptionError, lambda: ftsdk.Analyzer(f"nano@sha256:{pin}"))


def test_a_directory_of_such_a_name_is_a_path(tmp_path: Path) -> None:
    bundle = tiny_bundle.write(tmp_path / "a@sha256:b")
    assert open_bundle(bundle).path == bundle
    assert BundleName.of(bundle) == BundleName(bundle)


def test_every_command_takes_a_pin(face: Path) -> None:
    def run(pin: str) -> tuple[int, str]:
        given = [str(face), "--no-report", "--bundle", f"nano@sha256:{pin}"]
        done = CliRunner().invoke(analyze.app, given)
        return done.exit_code, done.output

    assert run(NANO_SHA256)[0] == 0
    code, output = run("0" * 64)
    assert code == 1
    assert NANO_SHA256 in output
    assert run("0" * 10)[0] == 2


def test_the_one_line_door_does_not_mistake_a_pin(face: Path) -> None:
    ftsdk.analyze(face, report=False)
    with pytest.raises(BundleUntrustedError):
        ftsdk.analyze(face, bundle="nano@sha256:" + "0" * 64, report=False)
