"""Which files a batch is about: by content, each of them once, in every encoding of a list."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from picture_files import encoded
from raising import raised

from ftsdk.batch.sources import Listing, listing_of
from ftsdk.errors import ImageNotFoundError, OptionError

JPEG = encoded("jpeg")


def left_out(listing: Listing) -> dict[str, str | None]:
    return {entry.name: listing.why_left_out(entry) for entry in listing.entries}


def test_what_a_file_holds_decides_and_not_its_name(tmp_path: Path) -> None:
    for name in ("IMG_1.HEIC", "photo.tiff", "noext", "notes.txt", "x.JPG"):
        (tmp_path / name).write_bytes(JPEG)
    assert set(left_out(listing_of(tmp_path)).values()) == {None}


@pytest.mark.parametrize(
    "start", [b"II*\0", b"GIF89a", b"\0\0\0\x18ftypheic", b"\0\0\0\x0cJXL ", b"BM\1\2\3\4\0\0\0\0"]
)
def test_a_picture_of_another_format_is_to_fail_and_not_to_be_left_out(
    tmp_path: Path, start: bytes
) -> None:
    (tmp_path / "scan.001").write_bytes(start + bytes(40))
    assert left_out(listing_of(tmp_path)) == {"scan.001": None}


def test_what_is_called_a_picture_is_to_fail_if_it_is_none(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.TIFF", "c.heic"):
        (tmp_path / name).write_bytes(b"nothing")
    assert set(left_out(listing_of(tmp_path)).values()) == {None}


def test_what_is_no_picture_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "letter.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "BMW.txt").write_bytes(b"BMW is a maker of cars")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    (tmp_path / "empty").touch()
    (tmp_path / ".hidden.jpg").write_bytes(JPEG)
    (tmp_path / ".cache").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    reasons = left_out(listing_of(tmp_path))
    assert [*reasons] == [
        ".cache", ".hidden.jpg", "BMW.txt", "empty", "film.mp4", "pipe.jpg", "sub/letter.pdf",
    ]  # fmt: skip
    assert all(reasons.values())
    assert reasons[".cache"] == "a hidden folder"
    assert "ft-analyze" in str(reasons["film.mp4"])


def test_linked_pictures_are_read_and_linked_folders_are_named(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "in", tmp_path / "else"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "x.jpg").write_bytes(JPEG)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "x.jpg").symlink_to(elsewhere / "x.jpg")
    (folder / "gone.jpg").symlink_to(elsewhere / "gone.jpg")
    reasons = left_out(listing_of(folder))
    assert [*reasons] == ["gone.jpg", "linked", "loop", "x.jpg"]
    assert [name for name, why in reasons.items() if why] == ["linked", "loop"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (entry,) = listing_of(tmp_path).entries
    (tmp_path / "closed").chmod(0o700)
    assert isinstance(entry.failure, ImageNotFoundError)
    assert listing_of(tmp_path).known() == {"closed"}  # so that a retry takes its failure out


def test_what_a_run_comes_to_is_known_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "sub" / "a.jpg").touch()
    assert listing_of(tmp_path).known() == {".hidden", "empty", "sub", "sub/a.jpg"}


def test_the_batch_s_own_output_is_no_file_of_the_folder(tmp_path: Path) -> None:
    for name in ("a.jpg", "o.jsonl", "sub/o.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    link = tmp_path.with_name("link.jsonl")
    link.symlink_to(tmp_path / "o.jsonl")
    for book in (tmp_path / "sub" / ".." / "o.jsonl", link):
        names = [entry.name for entry in listing_of(tmp_path, book).entries]
        assert names == ["a.jpg", "sub/o.jsonl"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le with a mark"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_is_read_in_every_encoding_that_editors_write(
    tmp_path: Path, encoding: str, end: str
) -> None:
    names, path = ["a.jpg", "café 写.jpg", " b\x0b\x85\u2028.jpg", "a.jpg"], tmp_path / "list.txt"
    text = end.join(names) + end + end
    if "mark" in encoding:
        path.write_bytes(("\ufeff" + text).encode("utf-16-le"))
    else:
        path.write_bytes(text.encode(encoding))
    listing = listing_of(path)
    assert [entry.name for entry in listing.entries] == names[:-1]
    assert listing.path(listing.entries[0]) == tmp_path / "a.jpg"


def test_a_list_names_files_that_are_no_utf_8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(JPEG)
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.jpg\n")
    listing = listing_of(tmp_path / "list.txt")
    assert listing.path(listing.entries[0]).read_bytes() == JPEG


@pytest.mark.parametrize(
    "content", [JPEG, "a.jpg\n".encode("utf-16-le"), b"\xff\xfea", b"a.jpg\0b.jpg\0"]
)
def test_what_is_no_list_is_wrong_use(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list").write_bytes(content)
    raised(OptionError, lambda: listing_of(tmp_path / "list"))


@pytest.mark.parametrize("name", ["gone", "/dev/zero"])
def test_what_is_neither_a_folder_nor_a_file_is_wrong_use(tmp_path: Path, name: str) -> None:
    raised(OptionError, lambda: listing_of(tmp_path / name))
