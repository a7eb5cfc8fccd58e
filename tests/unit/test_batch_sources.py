"""Which files a batch is about: by content, each of them once, in every encoding of a list."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from picture_files import encoded
from pyarrow.parquet import write_table
from raising import raised

from ftsdk.batch.places import Place, StoredFile, store_of
from ftsdk.batch.sources import Listing, listing_of
from ftsdk.errors import ImageNotFoundError, OptionError
from ftsdk.imaging.decode import decode

JPEG = encoded("jpeg")


def left_out(listing: Listing) -> dict[str, str | None]:
    return {entry.name: listing.why_left_out(entry) for entry in listing.entries}


def test_what_a_file_holds_decides_and_not_its_name(tmp_path: Path) -> None:
    for name in ("IMG_1.HEIC", "photo.tiff", "noext", "notes.txt", "x.JPG"):
        (tmp_path / name).write_bytes(JPEG)
    assert set(left_out(listing_of(str(tmp_path))).values()) == {None}


@pytest.mark.parametrize(
    "start", [b"II*\0", b"GIF89a", b"\0\0\0\x18ftypheic", b"\0\0\0\x0cJXL ", b"BM\1\2\3\4\0\0\0\0"]
)
def test_a_picture_of_another_format_is_to_fail_and_not_to_be_left_out(
    tmp_path: Path, start: bytes
) -> None:
    (tmp_path / "scan.001").write_bytes(start + bytes(40))
    assert left_out(listing_of(str(tmp_path))) == {"scan.001": None}


def test_what_is_called_a_picture_is_to_fail_if_it_is_none(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.TIFF", "c.heic"):
        (tmp_path / name).write_bytes(b"nothing")
    assert set(left_out(listing_of(str(tmp_path))).values()) == {None}


def test_what_is_no_picture_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "letter.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "BMW.txt").write_bytes(b"BMW is a maker of cars")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    (tmp_path / "empty").touch()
    (tmp_path / ".hidden.jpg").write_bytes(JPEG)
    (tmp_path / ".cache").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    reasons = left_out(listing_of(str(tmp_path)))
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
    reasons = left_out(listing_of(str(folder)))
    assert [*reasons] == ["gone.jpg", "linked", "loop", "x.jpg"]
    assert [name for name, why in reasons.items() if why] == ["linked", "loop"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (entry,) = listing_of(str(tmp_path)).entries
    (tmp_path / "closed").chmod(0o700)
    assert isinstance(entry.failure, ImageNotFoundError)
    assert listing_of(str(tmp_path)).known() == {"closed"}  # so that a retry takes its failure out


def test_what_a_run_comes_to_is_known_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "sub" / "a.jpg").touch()
    assert listing_of(str(tmp_path)).known() == {".hidden", "empty", "sub", "sub/a.jpg"}


def test_the_batch_s_own_output_is_no_file_of_the_folder(tmp_path: Path) -> None:
    for name in ("a.jpg", "o.jsonl", "sub/o.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    link = tmp_path.with_name("link.jsonl")
    link.symlink_to(tmp_path / "o.jsonl")
    for book in (tmp_path / "sub" / ".." / "o.jsonl", link):
        names = [entry.name for entry in listing_of(str(tmp_path), book).entries]
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
    listing = listing_of(str(path))
    assert [entry.name for entry in listing.entries] == names[:-1]
    assert listing.file(listing.entries[0]) == tmp_path / "a.jpg"


def test_a_list_names_files_that_are_no_utf_8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(JPEG)
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.jpg\n")
    listing = listing_of(str(tmp_path / "list.txt"))
    assert Path(listing.file(listing.entries[0])).read_bytes() == JPEG


@pytest.mark.parametrize(
    "content", [JPEG, "a.jpg\n".encode("utf-16-le"), b"\xff\xfea", b"a.jpg\0b.jpg\0"]
)
def test_what_is_no_list_is_wrong_use(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list").write_bytes(content)
    raised(OptionError, lambda: listing_of(str(tmp_path / "list")))


@pytest.mark.parametrize("name", ["gone", "/dev/zero"])
def test_what_is_neither_a_folder_nor_a_file_is_wrong_use(tmp_path: Path, name: str) -> None:
    raised(OptionError, lambda: listing_of(str(tmp_path / name)))


@pytest.mark.parametrize("scheme", ["local", "memory"])
def test_an_address_has_the_files_that_a_folder_has(tmp_path: Path, scheme: str) -> None:
    base = f"{scheme}://{tmp_path}/in"
    store, path = store_of(base)
    for name in ("a b.jpg", "sub/c?#1.png", "sub/.d.jpg", ".e/f.jpg", "g.txt", "film.mp4", "h"):
        store.create_dir(f"{path}/{name.rpartition('/')[0]}")
        with store.open_output_stream(f"{path}/{name}") as stream:
            stream.write(b"no picture" if name == "g.txt" else JPEG)
    listing = listing_of(f"{base}/")
    reasons = left_out(listing)
    assert [*reasons] == [".e", "a b.jpg", "film.mp4", "g.txt", "h", "sub/.d.jpg", "sub/c?#1.png"]
    assert [name for name, why in reasons.items() if why] == [".e", "g.txt", "sub/.d.jpg"]
    assert [listing.file(entry).read(3) for entry in listing.entries[1:3]] == [JPEG[:3]] * 2
    assert listing.root.folder == f"{base}/"
    if scheme == "local":
        here = listing_of(str(tmp_path / "in"))
        assert left_out(here) == reasons
        assert listing_of(f"file://{tmp_path}/in") == here


def test_lists_name_relative_absolute_and_far_files(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    names = ["a.jpg", str(tmp_path / "b.jpg"), f"local://{tmp_path}/a.jpg", "a.jpg", None, "no.jpg"]
    write_table(pa.table({"path": names, "label": range(6)}), tmp_path / "list.parquet")
    (tmp_path / "list.txt").write_text("\n".join(filter(None, names)), encoding="utf-8")
    for list_name in ("list.parquet", "list.txt"):
        for prefix in ("", "local://"):
            listing = listing_of(f"{prefix}{tmp_path}/{list_name}")
            assert [entry.name for entry in listing.entries] == [*names[:3], "no.jpg"]
            for entry in listing.entries[:3]:
                assert decode(listing.file(entry)).height
            with pytest.raises(ImageNotFoundError, match=r"no\.jpg"):
                decode(listing.file(listing.entries[3]))


def test_a_folder_of_parquet_is_a_list(tmp_path: Path) -> None:
    folder = tmp_path / "faces.parquet"
    folder.mkdir()
    for number in range(2):
        write_table(pa.table({"path": [f"{number}.jpg"]}), folder / f"part-{number}.parquet")
    for name in (str(folder), f"local://{folder}"):
        assert [entry.name for entry in listing_of(name).entries] == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize("table", [{"file": ["a.jpg"]}, {"path": [3]}, None])
def test_what_is_no_list_in_parquet_is_wrong_use(
    tmp_path: Path, table: dict[str, list[object]] | None
) -> None:
    path = tmp_path / "list.parquet"
    if table is None:
        path.write_bytes(b"PAR1 and then nothing")
    else:
        write_table(pa.table(table), path)
    raised(OptionError, lambda: listing_of(str(path)))


@pytest.mark.parametrize("address", ["memory://gone/folder", "nothing://at/all", "local:///gone"])
def test_an_address_where_nothing_is_is_wrong_use(address: str) -> None:
    raised(OptionError, lambda: listing_of(address))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("s3://key:secret@bucket/folder?region=x", "s3://bucket/folder"),
        ("https://user:word@host/a", "https://host/a"),
        ("abfs://box@account.dfs.core.windows.net/a?sig=1", "abfs://box@account.dfs.core.windows.net/a"),
    ],
)  # fmt: skip
def test_rows_say_where_files_are_and_no_secret(address: str, public: str) -> None:
    assert Place(address).folder == public
    assert Place(address).file("b.jpg") == StoredFile(address, "b.jpg")
