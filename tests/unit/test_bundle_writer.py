"""The place where a bundle is written: reserved, renamed, and never half there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import tiny_bundle

from ft_export.bundle_writer import hash_files, reserve
from ftsdk.errors import OptionError


def test_nothing_has_the_final_name_before_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "a.bundle"
    with reserve(out, overwrite=False) as folder:
        (folder / "manifest.json").write_text("{}")
        assert folder.parent == out.parent
        assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["a.bundle"]
    assert (out / "manifest.json").read_text() == "{}"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "a.bundle"

    def fail() -> None:
        with reserve(out, overwrite=False) as folder:
            (folder / "half").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [*tmp_path.iterdir()] == []


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
    with reserve(out, overwrite=True) as folder:
        (folder / "manifest.json").write_text("new")
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


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = [tmp_path / f".[a].bundle.{kind}-999999999" for kind in ("partial", "replaced")]
    living = tmp_path / f".[a].bundle.partial-{os.getppid()}"
    other = tmp_path / ".b.bundle.partial-999999999"
    for path in (*dead, living, other):
        path.mkdir()
    with reserve(tmp_path / "[a].bundle", overwrite=False):
        assert not any(path.exists() for path in dead)
    assert living.exists()
    assert other.exists()


def test_every_file_is_hashed(tmp_path: Path) -> None:
    tiny_bundle.write(tmp_path)
    (tmp_path / "manifest.json").unlink()
    assert {name: (entry.size, entry.sha256) for name, entry in hash_files(tmp_path).items()} == {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in tiny_bundle.FILES.items()
    }
