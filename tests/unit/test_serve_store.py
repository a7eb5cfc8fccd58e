"""What the service keeps: deleted means gone, killed means whole or nothing, counted means held."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from serve_analyses import analysis, result

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from ftsdk.errors import AnalysisNotFoundError, OptionError, StoreError, StoreFullError
from ftsdk.files import sync
from ftsdk.serve import disk, folder
from ftsdk.serve.analyses import Analysis, MemoryStore
from ftsdk.serve.disk import DiskStore

_NAME = "a-name-that-nobody-else-has.png"


def _named(name: str = _NAME) -> Analysis:
    one = analysis()
    picture = replace(one.result.picture, name=name)
    return replace(one, result=replace(one.result, picture=picture))


def _faces(count: int) -> Analysis:
    """An analysis of a picture with many faces, each with a tensor of 1 MB."""
    others = tuple(
        replace(result(), image_tensors={"a": np.zeros(2**18, np.float32)}) for _ in range(count)
    )
    one = analysis()
    return replace(one, result=replace(one.result, others=others))


def _files(store: Path) -> set[str]:
    own = {"index.sqlite3", "index.sqlite3-journal", "lock"}
    return {path.name for path in store.iterdir()} - own


def _everything(store: Path) -> bytes:
    return b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())


def test_other_faces_count() -> None:
    alone, many = _faces(0), _faces(8)
    assert many.nbytes - alone.nbytes >= 8 * 2**20
    store = MemoryStore(9, many.nbytes + alone.nbytes, 60)
    store.put(many)
    assert store.nbytes == many.nbytes
    store.put(_faces(8))
    assert len(store) == 1


def test_what_the_metric_says_is_what_memory_holds() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        store = MemoryStore(99, 2**40, 60)
        for _ in range(4):
            store.put(_faces(8))
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert store.nbytes == pytest.approx(held, rel=0.05)


def test_a_correction_shares_its_parent_s_picture_and_tensors() -> None:
    store = MemoryStore(9, 2**40, 60)
    parent = analysis()
    store.put(parent)
    before = store.nbytes
    kept = store.get(parent.id)
    store.put(replace(kept, id="c" * 22, parent=parent.id))
    assert store.nbytes == before
    store.delete(parent.id)
    assert store.nbytes == before
    store.delete("c" * 22)
    assert store.nbytes == 0


def test_nothing_of_a_deleted_analysis_is_on_the_disk(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "kept")
    one, other = _named(), analysis()
    store.put(one)
    store.put(other)
    assert _NAME.encode() in _everything(tmp_path / "kept")
    held = store.nbytes
    store.delete(one.id)
    assert _NAME.encode() not in _everything(tmp_path / "kept")
    assert _files(tmp_path / "kept") == {other.id}
    assert (len(store), store.nbytes < held) == (1, True)
    store.close()


def test_an_index_with_a_log_of_old_names_is_cleaned(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    old = sqlite3.connect(tmp_path / "index.sqlite3")
    old.execute("PRAGMA journal_mode=WAL")
    old.execute("PRAGMA secure_delete=OFF")
    old.execute(
        "CREATE TABLE analyses (id TEXT PRIMARY KEY, created TEXT NOT NULL, name TEXT NOT NULL, "
        "sha256 TEXT NOT NULL, score REAL, parent TEXT, nbytes INTEGER NOT NULL)"
    )
    with old:
        old.execute("INSERT INTO analyses VALUES ('x', 'now', ?, '', 0, '', 1)", (_NAME,))
    with old:
        old.execute("DELETE FROM analyses")
    old.close()
    assert _NAME.encode() in _everything(tmp_path)
    DiskStore(tmp_path).close()
    assert _NAME.encode() not in _everything(tmp_path)


def test_a_deletion_that_fails_is_told_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskStore(tmp_path / "kept")
    one = _named()
    store.put(one)

    def stuck(*_: object, **__: object) -> None:
        raise PermissionError("the file stays")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", stuck)
        with pytest.raises(StoreError, match="could not be deleted"):
            store.delete(one.id)
    assert len(store) == 1
    store.delete(one.id)
    assert len(store) == 0
    assert not _files(tmp_path / "kept")
    store.close()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DiskStore(tmp_path / "kept")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StoreFullError, match="No space left"):
        store.put(analysis())
    assert not _files(tmp_path / "kept")
    assert len(store) == 0
    store.close()


def test_a_full_store_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "kept")
    first = analysis()
    store.put(first)
    size = store.nbytes
    store.close()
    store = DiskStore(tmp_path / "kept", most=size * 2 + size // 2)
    second = analysis()
    store.require_room()
    store.put(second)
    with pytest.raises(StoreFullError, match="--store-gigabytes"):
        store.put(analysis())
    assert _files(tmp_path / "kept") == {first.id, second.id}
    assert (len(store), store.nbytes) == (2, size * 2)
    store.require_room(size // 2)
    with pytest.raises(StoreFullError):
        store.require_room(size)
    store.delete(first.id)
    store.put(analysis())
    store.close()


def _leave_partial(store: Path, key: str) -> None:
    (store / key).rename(store / f"{key}.tmp")


def _leave_gone(store: Path, key: str) -> None:
    (store / key).rename(store / f"{key}.gone")


@pytest.mark.parametrize("leave", [_leave_partial, _leave_gone])
def test_what_a_kill_left_half_done_is_swept_at_start(
    tmp_path: Path, leave: Callable[[Path, str], None]
) -> None:
    first = DiskStore(tmp_path / "kept")
    one = _named()
    first.put(one)
    first.close()
    leave(tmp_path / "kept", one.id)
    second = DiskStore(tmp_path / "kept")
    assert len(second) == second.nbytes == 0
    with pytest.raises(AnalysisNotFoundError):
        second.get(one.id)
    assert not _files(tmp_path / "kept")
    assert _NAME.encode() not in _everything(tmp_path / "kept")
    second.close()


def test_what_a_kill_left_unlisted_is_listed_at_start(tmp_path: Path) -> None:
    first = DiskStore(tmp_path / "kept")
    one = _named()
    first.put(one)
    size = first.nbytes
    first.close()
    (tmp_path / "kept" / "index.sqlite3").unlink()
    second = DiskStore(tmp_path / "kept")
    assert (len(second), second.nbytes) == (1, size)
    assert second.get(one.id).result.picture.name == _NAME
    second.delete(one.id)
    second.close()


_WRITER = """
import sys
from pathlib import Path
from serve_analyses import analysis
from ftsdk.serve.disk import DiskStore
store = DiskStore(Path(sys.argv[1]))
while True:
    one = analysis()
    print("put", one.id, flush=True)
    store.put(one)
    print("kept", one.id, flush=True)
    if ord(one.id[0]) % 2:
        print("delete", one.id, flush=True)
        store.delete(one.id)
        print("gone", one.id, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 2, 5, 6, 9, 14])
def test_killed_at_any_moment_the_store_is_what_was_answered(tmp_path: Path, lines: int) -> None:
    kept = tmp_path / "kept"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(kept)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert writer.stdout is not None
    told = [writer.stdout.readline().split() for _ in range(lines)]
    writer.send_signal(signal.SIGKILL)
    told += [line.split() for line in writer.stdout.read().splitlines()]
    writer.wait(10)
    last: dict[str, str] = {key: word for word, key in told}
    store = DiskStore(kept)
    assert _files(kept) <= set(last)
    for key, word in last.items():
        if word == "kept":
            assert store.get(key).id == key
        if word == "gone":
            assert not (kept / key).exists()
    assert len(store) == len(_files(kept))
    store.close()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_store_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept").chmod(mode)
    with pytest.raises(OptionError, match="chmod go-w"):
        DiskStore(tmp_path / "kept")


def test_a_store_serves_one_process_at_a_time(tmp_path: Path) -> None:
    first = DiskStore(tmp_path / "kept")
    with pytest.raises(StoreError, match="in use"):
        DiskStore(tmp_path / "kept")
    first.close()
    DiskStore(tmp_path / "kept").close()


def test_a_locked_index_is_told_and_the_counters_do_not_wait(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "kept")
    one = analysis()
    store.put(one)
    holder = sqlite3.connect(tmp_path / "kept" / "index.sqlite3")
    holder.execute("BEGIN EXCLUSIVE")
    for use in (store.get, store.delete):
        with pytest.raises(StoreError, match="locked"):
            use(one.id)
    with store._lock:
        assert (len(store), store.nbytes > 0) == (1, True)
    holder.close()
    store.close()


def test_a_changed_file_is_told(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "kept")
    one = analysis()
    store.put(one)
    (tmp_path / "kept" / one.id / "analysis.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        store.get(one.id)
    store.close()


def test_names_are_on_the_disk_before_the_index_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []

    def noted(path: Path) -> None:
        synced.append(path)
        sync(path)

    store = DiskStore(tmp_path / "kept")
    for module in (folder, disk):
        monkeypatch.setattr(module, "sync", noted)
    one = analysis()
    store.put(one)
    assert synced == [tmp_path / "kept" / f"{one.id}.tmp", tmp_path / "kept"]
    store.close()
