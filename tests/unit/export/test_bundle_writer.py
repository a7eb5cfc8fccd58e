"""The place where a bundle is written: reserved, renamed, and never half there."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest
import tiny_bundle

from ft_export.bundle.writer import hash_files, reserve
from ft_export.errors import DiskFullError
from ftsdk.errors import OptionError


def test_nothing_has_the_final_name_before_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "a.bundle"
    with reserve(out, overwrite=False) as reserved:
        (reserved.bundle / "manifest.json").write_text("{}")
        assert reserved.bundle.is_relative_to(out.parent)
        assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["a.bundle"]
    assert (out / "manifest.json").read_text() == "{}"


def write_half(out: Path, error: BaseException, overwrite: bool = False) -> None:
    with reserve(out, overwrite) as reserved:
        (reserved.bundle / "half").write_text("half")
        raise error


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "a.bundle", RuntimeError())
    assert [*tmp_path.iterdir()] == []


def test_what_was_interrupted_is_there_again(tmp_path: Path) -> None:
    out = tmp_path / "a.bundle"
    with pytest.raises(KeyboardInterrupt):
        write_half(out, KeyboardInterrupt())
    assert not out.exists()
    with reserve(out, overwrite=False) as again:
        assert (again.bundle / "half").read_text() == "half"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bundle"]


def test_a_full_disk_is_said_and_keeps_the_old_bundle(tmp_path: Path) -> None:
    out = tiny_bundle.write(tmp_path / "a.bundle")
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DiskFullError) as caught:
        write_half(out, full, overwrite=True)
    assert "GB free" in caught.value.found
    assert (out / "graphs").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["a.bundle"]


def test_two_exports_cannot_write_one_bundle(tmp_path: Path) -> None:
    out = tmp_path / "a.bundle"
    with reserve(out, overwrite=False):
        with pytest.raises(OptionError) as caught, reserve(out, overwrite=False):
            pytest.fail("it was reserved twice")
        assert "another export" in caught.value.what
    assert out.is_dir()


def test_a_bundle_that_was_on_its_way_out_comes_back(tmp_path: Path) -> None:
    tiny_bundle.write(tmp_path / ".a.bundle.replaced")  # killed between the two renames
    with pytest.raises(OptionError), reserve(tmp_path / "a.bundle", overwrite=False):
        pytest.fail("it was reserved")
    assert (tmp_path / "a.bundle" / "manifest.json").is_file()


def test_what_exists_is_not_replaced_unasked(tmp_path: Path) -> None:
    out = tiny_bundle.write(tmp_path / "a.bundle")
    before = (out / "manifest.json").read_bytes()
    with pytest.raises(OptionError) as caught, reserve(out, overwrite=False):
        pytest.fail("it was reserved")
    assert "--overwrite" in caught.value.cure
    assert caught.value.found == "a bundle"
    assert (out / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.bundle"]


def test_a_bundle_is_replaced_when_asked(tmp_path: Path) -> None:
    out = tiny_bundle.write(tmp_path / "a.bundle")
    with reserve(out, overwrite=True) as reserved:
        (reserved.bundle / "manifest.json").write_text("new")
        assert (out / "graphs").is_dir()
    assert [path.name for path in out.iterdir()] == ["manifest.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bundle"]


def test_a_failed_replacement_keeps_the_old_bundle(tmp_path: Path) -> None:
    out = tiny_bundle.write(tmp_path / "a.bundle")
    with pytest.raises(RuntimeError), reserve(out, overwrite=True):
        raise RuntimeError
    assert (out / "graphs").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["a.bundle"]


@pytest.mark.parametrize("kind", ["file", "folder", "empty folder"])
def test_what_is_no_bundle_is_never_replaced(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "precious"
    if kind == "file":
        out.write_text("precious")
    else:
        out.mkdir()
    if kind == "folder":
        (out / "thesis.txt").write_text("precious")
    with pytest.raises(OptionError), reserve(out, overwrite=True):
        pytest.fail("it was reserved")
    assert out.exists()


@pytest.mark.parametrize("name", ["file/a.bundle", "file"])
def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OptionError) as caught, reserve(tmp_path / name, overwrite=False):
        pytest.fail("it was reserved")
    assert caught.value.cure


def test_every_file_is_hashed(tmp_path: Path) -> None:
    tiny_bundle.write(tmp_path)
    assert {name: (entry.size, entry.sha256) for name, entry in hash_files(tmp_path).items()} == {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in tiny_bundle.FILES.items()
    }
