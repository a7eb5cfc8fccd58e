"""The command that puts a bundle into the package."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import tiny_bundle
from raising import raised

from ft_export.bundle.embed import embed
from ftsdk.bundle import open_bundle
from ftsdk.embedded import NANO_SHA256
from ftsdk.errors import BundleFileAlteredError, OptionError
from ftsdk.trust import NANO


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    return tiny_bundle.write(tmp_path / "new.bundle", lambda manifest: manifest.update(name="nano"))


def test_it_replaces_the_bundle_and_its_pin(nano: Path, tmp_path: Path) -> None:
    place, pin = tmp_path / "models/nano", tmp_path / "embedded.py"
    tiny_bundle.write(place)
    (place / "graphs/old.onnx").write_bytes(b"old")
    for _ in range(2):
        assert embed(nano, place, pin).path == place
        assert runpy.run_path(str(pin))["NANO_SHA256"] == open_bundle(nano).sha256
    assert sorted(path.name for path in place.parent.iterdir()) == ["nano"]


def test_a_bundle_that_lies_there_is_only_pinned(nano: Path, tmp_path: Path) -> None:
    embed(nano, nano, tmp_path / "embedded.py")
    assert open_bundle(nano).sha256 in (tmp_path / "embedded.py").read_text(encoding="utf-8")


def test_the_pin_in_the_package_is_as_the_command_writes_it(tmp_path: Path) -> None:
    import ftsdk.embedded

    embed(NANO, NANO, tmp_path / "embedded.py")
    assert (tmp_path / "embedded.py").read_bytes() == Path(ftsdk.embedded.__file__).read_bytes()
    assert runpy.run_path(str(tmp_path / "embedded.py"))["NANO_SHA256"] == NANO_SHA256


def test_nothing_is_replaced_by_a_bundle_that_is_refused(nano: Path, tmp_path: Path) -> None:
    place, pin = tiny_bundle.write(tmp_path / "nano"), tmp_path / "embedded.py"
    raised(OptionError, lambda: embed(tiny_bundle.write(tmp_path / "other"), place, pin))
    (nano / "graphs/qformer.onnx").write_bytes(b"q" * 280)
    raised(BundleFileAlteredError, lambda: embed(nano, place, pin))
    assert open_bundle(place).manifest.name == "tiny"
    assert not pin.exists()
