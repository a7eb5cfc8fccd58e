"""Prepared graphs that are damaged, exchanged, half made, made twice, or cannot be kept."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lowered_bundle
import numpy as np
import pytest
from exchanging import by_rename
from lowered_bundle import FOUR
from raising import raised

from ftsdk.bundle import open_bundle
from ftsdk.doctor.engines import check_engines
from ftsdk.engines import preparing, session_options
from ftsdk.engines.loading import load_engines
from ftsdk.engines.prepared import GraphKey, PreparedGraphs
from ftsdk.engines.preparing import graph_keys
from ftsdk.errors import EngineCacheError
from ftsdk.machine import processor
from ftsdk.verified import Seal

pytestmark = pytest.mark.skipif(processor() is None, reason="the processor is not known")

#: Loads the bundle of its argument, and prints a hash of what its engines answer.
LOAD = """
import hashlib, os, resource, signal, sys
from pathlib import Path
import lowered_bundle
from ftsdk.engines import preparing, session_options
from ftsdk.engines.prepared import PreparedGraphs
preparing.LEAST_BYTES = 0
preparing.has_vnni = session_options.has_vnni = lambda: False
{before}
found = lowered_bundle.answers(Path(sys.argv[1]))
print(hashlib.sha256(b"".join(found[stage].tobytes() for stage in sorted(found))).hexdigest())
"""


def load(root: Path, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD.format(before=before), str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def printed(child: subprocess.Popen[str]) -> str:
    said, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    return said.strip()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose graphs are prepared although they are small."""
    monkeypatch.setattr(preparing, "LEAST_BYTES", 0)
    for module in (preparing, session_options):
        monkeypatch.setattr(module, "has_vnni", lambda: False)
    return lowered_bundle.write(tmp_path / "lowered.bundle")


@pytest.fixture
def graphs(root: Path) -> PreparedGraphs:
    lowered_bundle.answers(root)
    return PreparedGraphs.beside(root)


@pytest.fixture
def key(root: Path) -> GraphKey:
    return graph_keys(open_bundle(root))[FOUR]


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def cut(path: Path, place: float) -> None:
    os.truncate(path, int(place * path.stat().st_size))


def exchange(path: Path, place: float) -> None:
    content = path.read_bytes()
    by_rename(path, content[: int(place * len(content))] + bytes(range(1, 20)))


@pytest.mark.parametrize("damage", [flip, cut, exchange])
@pytest.mark.parametrize("place", [0.0, 0.37, 0.999])
@pytest.mark.parametrize("suffix", [".onnx", ".weights"])
def test_a_damaged_graph_is_refused_and_made_again(
    graphs: PreparedGraphs, root: Path, key: GraphKey, suffix: str, place: float,
    damage: Callable[[Path, float], None], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    expected = lowered_bundle.answers(root)
    damage((graphs.folder / key.name).with_suffix(suffix), place)
    error = raised(EngineCacheError, lambda: graphs.load(key))
    assert key.name in error.what
    (fault,) = check_engines(root).faults
    assert key.name in fault.what
    found = lowered_bundle.answers(root)
    assert f"{FOUR} is loaded from the bundle" in caplog.text
    for stage, value in expected.items():
        np.testing.assert_array_equal(found[stage], value)
    assert graphs.load(key)
    assert not check_engines(root).faults


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04", b'{"key": 1}'])
def test_a_damaged_record_is_refused_and_written_again(
    graphs: PreparedGraphs, root: Path, key: GraphKey, content: bytes
) -> None:
    graphs.record_path(key.name).write_bytes(content)
    raised(EngineCacheError, lambda: graphs.load(key))
    assert f"{key.name}.json" in check_engines(root).faults[0].found
    lowered_bundle.answers(root)
    assert graphs.load(key)


def test_the_files_of_another_graph_are_refused(
    graphs: PreparedGraphs, root: Path, tmp_path: Path
) -> None:
    keys = [*graph_keys(open_bundle(root)).values()]
    other = lowered_bundle.write(tmp_path / "other.bundle")
    lowered_bundle.answers(other)
    one = keys[-1]
    foreign = GraphKey(**{**vars(one), "processor": "another"})
    for path in [*graphs.folder.glob(f"{one.name}.*")]:
        shutil.copy(path, path.with_name(path.name.replace(one.name, foreign.name)))
    error = raised(EngineCacheError, lambda: graphs.load(foreign))
    assert foreign.name in error.found
    (fault,) = check_engines(root).faults
    assert foreign.name in fault.found


def test_a_copy_is_hashed_once_and_then_known(
    graphs: PreparedGraphs, key: GraphKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = graphs.weights_path(key.name)
    shutil.copy(weights, copy := weights.with_name("copy"))
    copy.replace(weights)
    graphs.load(key)
    with weights.open("rb") as file:
        assert Seal.of(file) == next(r for r in graphs.records() if r.key == key).seal
    monkeypatch.setattr("ftsdk.engines.prepared.seal_verified", None)
    assert graphs.load(key)


@pytest.mark.parametrize("swap", [flip, exchange])
def test_weights_that_are_exchanged_while_they_are_loaded_are_not_used(
    graphs: PreparedGraphs, root: Path, key: GraphKey, swap: Callable[[Path, float], None],
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    expected, opened = lowered_bundle.answers(root), preparing.prepare_graphs

    def exchanged(*arguments: object) -> object:
        found = opened(*arguments)
        swap(graphs.weights_path(key.name), 0.5)
        return found

    monkeypatch.setattr("ftsdk.engines.loading.prepare_graphs", exchanged)
    found = lowered_bundle.answers(root)
    assert f"{FOUR} is loaded from the bundle" in caplog.text
    for stage, value in expected.items():
        np.testing.assert_array_equal(found[stage], value)


def no_directory(folder: Path) -> None:
    folder.write_bytes(b"")


def open_to_others(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)


def a_link(folder: Path) -> None:
    folder.with_name("elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.with_name("elsewhere"))


@pytest.mark.parametrize("occupy", [no_directory, open_to_others, a_link])
def test_where_nothing_can_be_kept_graphs_are_loaded_as_they_are(
    root: Path, occupy: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    folder = PreparedGraphs.beside(root).folder
    occupy(folder)
    loaded = load_engines(open_bundle(root), "cpu", 1)
    assert "prepared" not in loaded.runtime
    assert "none can be prepared" in caplog.text
    assert not folder.is_dir() or not [*folder.iterdir()]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    expected = lowered_bundle.answers(root)
    tmp_path.chmod(0o700)
    lowered_bundle.answers(root)
    graphs = PreparedGraphs.beside(root)
    graphs.folder.chmod(0o500)
    loaded = load_engines(open_bundle(root), "cpu", 1)
    assert "graphs prepared" in loaded.runtime
    for stage, value in expected.items():
        np.testing.assert_array_equal(lowered_bundle.answer(loaded.engines[stage]), value)
    graphs.folder.chmod(0o700)


def test_a_disk_without_room_is_left_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_ROOM", 1 << 60)
    assert "prepared" not in load_engines(open_bundle(root), "cpu", 1).runtime
    assert not [*PreparedGraphs.beside(root).folder.iterdir()]


def test_a_disk_that_is_full_in_the_middle(root: Path) -> None:
    expected = printed(load(root))
    shutil.rmtree(PreparedGraphs.beside(root).folder)
    full = "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))"
    assert printed(load(root, full)) == expected
    assert not [*PreparedGraphs.beside(root).folder.iterdir()]
    assert printed(load(root)) == expected
    assert [*PreparedGraphs.beside(root).records()]


def test_a_killed_preparation_does_not_count_and_the_next_one_removes_it(root: Path) -> None:
    graphs = PreparedGraphs.beside(root)
    kill = "PreparedGraphs.store = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    child = load(root, kill)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert [path.suffix for path in sorted(graphs.unfinished.iterdir())] == [".onnx", ".weights"]
    assert not [*graphs.records()]
    kill = "PreparedGraphs.write_record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    load(root, kill).communicate()
    assert not [*graphs.records()]
    lowered_bundle.answers(root)
    assert {one.key.name for one in graphs.records()} == {
        one.name for one in graph_keys(open_bundle(root)).values()
    }
    assert not graphs.unfinished.exists()


def test_several_processes_at_once_answer_the_same(root: Path) -> None:
    assert len({printed(child) for child in [load(root) for _ in range(4)]}) == 1
    graphs = PreparedGraphs.beside(root)
    assert {one.key.name for one in graphs.records()} == {
        one.name for one in graph_keys(open_bundle(root)).values()
    }
    assert not [*graphs.faults()]
    assert not graphs.unfinished.exists()


def test_while_one_prepares_another_does_not_wait(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ftsdk.engines.preparing")
    graphs = PreparedGraphs.beside(root)
    with graphs.building() as place:
        assert place
        assert "prepared" not in load_engines(open_bundle(root), "cpu", 1).runtime
        assert "another process prepares the graphs of tiny" in caplog.text
        assert place.is_dir()
    assert "prepared" in load_engines(open_bundle(root), "cpu", 1).runtime
