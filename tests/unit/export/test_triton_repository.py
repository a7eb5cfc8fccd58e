"""What `ft-export --triton` writes, and what it leaves where it cannot."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ft_export.errors import DiskFullError
from ft_export.triton import repository
from ft_export.triton.repository import write_model
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.errors import OptionError, OutputError
from ftsdk.trust import BundleName


@pytest.fixture(scope="module")
def nano() -> Bundle:
    """The bundle in the package."""
    return open_bundle(BundleName.of("nano"))


def _renamed(bundle: Bundle, name: str) -> Bundle:
    return replace(bundle, manifest=replace(bundle.manifest, name=name))


def test_a_repository_holds_the_whole_bundle_pinned(nano: Bundle, tmp_path: Path) -> None:
    model = write_model(nano, tmp_path / "models")
    assert [path.name for path in model.parent.iterdir()] == ["nano"]
    assert {path.name for path in model.iterdir()} == {"config.pbtxt", "requirements.txt", "1"}
    copied = open_bundle(BundleName(model / "1" / "bundle", nano.sha256))
    assert copied.manifest == nano.manifest
    assert f'"bundle_sha256" value: {{ string_value: "{nano.sha256}" }}' in (
        model / "config.pbtxt"
    ).read_text(encoding="utf-8")


def test_a_second_model_goes_beside_and_none_is_replaced(nano: Bundle, tmp_path: Path) -> None:
    write_model(nano, tmp_path)
    assert write_model(_renamed(nano, "other"), tmp_path) == tmp_path / "other"
    with pytest.raises(OptionError, match="exists") as caught:
        write_model(nano, tmp_path)
    assert caught.value.found == "a model"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "ein name", "-a", "a\n", "ä", '"'])
def test_a_name_that_makes_no_directory_is_refused(nano: Bundle, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="cannot be a Triton model's"):
        write_model(_renamed(nano, name), tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EIO, OutputError)]
)
def test_a_copy_that_fails_leaves_nothing(
    nano: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Exception],
) -> None:
    def fail(_source: str, target: str) -> None:
        Path(target).mkdir()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(kind):
        write_model(nano, tmp_path / "models")
    assert not [*(tmp_path / "models").iterdir()]


def test_a_killed_export_s_rest_is_taken_away(nano: Bundle, tmp_path: Path) -> None:
    (tmp_path / ".nano.partial" / "1").mkdir(parents=True)
    write_model(nano, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["nano"]


def test_the_environment_pins_what_old_stubs_can_read() -> None:
    text = repository.requirements()
    assert "\nnumpy==1." in text
    assert "--hash=sha256:" in text
    assert "\nonnxruntime==" in text
