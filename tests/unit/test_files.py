"""Files that appear whole or not at all, and never in the place of what was handed in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from raising import raised

from ftsdk.errors import OutputError, OverwriteError
from ftsdk.files import (
    PIPE,
    Inputs,
    named,
    read_regular,
    replacing,
    require_place,
    saving,
    write_atomically,
)


def write(path: Path, content: bytes, inputs: Inputs | None = None) -> None:
    with saving(path, inputs) as file:
        file.write_bytes(content)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    path = tmp_path / "evidence.jpg"
    path.write_bytes(b"evidence")
    return path


def test_an_input_is_refused_by_its_name_a_link_and_a_second_name(evidence: Path) -> None:
    link, second = evidence.with_name("link.html"), evidence.with_name("second.html")
    link.symlink_to(evidence)
    os.link(evidence, second)
    around = evidence.parent / "." / "no" / ".." / evidence.name
    around.parent.parent.mkdir()
    for name in (evidence, link, second, around):
        raised(OverwriteError, lambda name=name: write(name, b"report", Inputs([evidence])))  # type: ignore[misc]
    inputs = Inputs([link])  # the evidence was handed in through a link
    raised(OverwriteError, lambda: write(evidence, b"report", inputs))
    assert evidence.read_bytes() == b"evidence"
    names = {path.name for path in evidence.parent.iterdir() if path.is_file()}
    assert names == {"evidence.jpg", "link.html", "second.html"}


def test_another_file_is_saved_beside_an_input(evidence: Path) -> None:
    target = evidence.with_name("report.html")
    for content in (b"first", b"second"):
        write(target, content, Inputs([evidence, evidence.with_name("gone.jpg")]))
        assert target.read_bytes() == content


def test_an_error_inside_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "answer.json"
    target.write_bytes(b"before")

    def fail() -> None:
        with saving(target) as file:
            file.write_bytes(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"before"]


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real.html", tmp_path / "latest.html"
    link.symlink_to(real)
    write(link, b"report")
    assert link.is_symlink()
    assert real.read_bytes() == b"report"


def test_a_device_is_written_and_stays_one() -> None:
    write(Path("/dev/null"), b"report")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("place", ["no/such/report.html", ".", "file/report.html", "n" * 300])
def test_a_place_that_cannot_be_written_is_a_typed_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    raised(OutputError, lambda: write(tmp_path / place, b"report"))
    raised(OutputError, lambda: require_place(tmp_path / place))
    assert {p.name for p in tmp_path.iterdir()} == {"file"}


def test_a_place_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    old, link = tmp_path / "old", tmp_path / "link"
    old.write_bytes(b"report")
    link.symlink_to("new")
    for place in (old, link, tmp_path / "new", Path("/dev/null")):
        require_place(place)
    assert {path.name for path in tmp_path.iterdir()} == {"old", "link"}
    assert old.read_bytes() == b"report"
    raised(OverwriteError, lambda: require_place(old, Inputs([old])))


def test_a_full_disk_is_a_typed_error_with_its_cure() -> None:
    error = raised(OutputError, lambda: write(Path("/dev/full"), b"report"))
    assert "No space left" in error.found
    assert "free some space" in error.cure


def test_files_are_the_user_s_own_where_the_mask_says_so(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "secret.json", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "secret.json").stat().st_mode & 0o777 == 0o600


def test_a_name_of_full_length_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".json")
    with replacing(path) as file:
        file.write_bytes(b"x")
    assert path.read_bytes() == b"x"


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "nothing"):
        with pytest.raises(OSError, match=r".") as caught:
            read_regular(path)
        assert caught.value.strerror
    (tmp_path / "link").symlink_to(Path(__file__))
    assert read_regular(tmp_path / "link") == Path(__file__).read_bytes()


def test_a_description_of_terabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="MiB"):
        read_regular(tmp_path / "sparse")


@pytest.mark.parametrize("word", ["-", "a.jpg", "./a.jpg", "../-", "-/a.jpg", "/tmp/-", "--", "a-"])
def test_words_of_a_command_line_are_paths(word: str) -> None:
    assert named(word) == Path(word)


@pytest.mark.parametrize("word", ["./-", "././-", ".//-", "-/"])
def test_a_file_named_as_the_pipe_is_no_pipe(word: str) -> None:
    assert named(word) == Path.cwd() / "-"
    assert named(word) != PIPE
