"""The service's parts without a server: names, stores, painted masks, settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from serve_analyses import analysis, result
from serving import free_port

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from ftsdk.errors import (
    AnalysisNotFoundError,
    ArrayError,
    OptionError,
)
from ftsdk.result import run_lengths
from ftsdk.serve import cli
from ftsdk.serve.analyses import MemoryStore
from ftsdk.serve.disk import DiskStore
from ftsdk.serve.documents import PaintedMask
from ftsdk.serve.painting import painted
from ftsdk.serve.settings import is_loopback


def test_memory_is_bounded_in_number() -> None:
    store = MemoryStore(2, 2**40, 60)
    kept = [analysis() for _ in range(3)]
    for one in kept:
        store.put(one)
    assert len(store) == 2
    assert store.get(kept[2].id).id == kept[2].id
    with pytest.raises(AnalysisNotFoundError):
        store.get(kept[0].id)


def test_memory_is_bounded_in_bytes_and_age() -> None:
    now = 0.0
    first, second = analysis(), analysis()
    store = MemoryStore(9, first.nbytes + 1, 60, clock=lambda: now)
    store.put(first)
    store.put(second)
    assert len(store) == 1
    now = 61.0
    store.prune()
    assert len(store) == 0
    assert store.nbytes == 0


def test_kept_tensors_are_the_store_s_own() -> None:
    one = analysis()
    store = MemoryStore(2, 2**40, 60)
    store.put(one)
    given, kept = one.result.image_tensors, store.get(one.id).result.image_tensors
    assert set(kept) == set(given)
    for name, value in kept.items():
        assert np.array_equal(value, given[name])
        assert value.flags.owndata
        assert not np.shares_memory(value, given[name])


def test_disk_gives_back_what_it_was_given(tmp_path: Path) -> None:
    one = analysis()
    store = DiskStore(tmp_path / "kept")
    store.put(one)
    store.close()
    again = DiskStore(tmp_path / "kept")
    found = again.get(one.id)
    assert found.result.to_dict() == one.result.to_dict()
    assert found.result.report_ids == one.result.report_ids
    assert np.array_equal(found.result.image_tensors["a.b"], np.arange(6))
    assert (found.edits, found.credentials) == (one.edits, one.credentials)
    assert (found.parent, found.original) == (one.parent, one.original)
    again.delete(one.id)
    assert len(again) == 0
    assert not (tmp_path / "kept" / one.id).exists()
    with pytest.raises(AnalysisNotFoundError):
        again.get(one.id)
    again.close()


def test_a_painted_mask_survives_its_run_lengths() -> None:
    found = result()
    height, width = found.picture.height, found.picture.width
    mask = np.random.default_rng(3).random((height, width)) > 0.5
    sent = PaintedMask(width=width, height=height, run_lengths=run_lengths(mask))
    assert np.array_equal(painted(sent, found), mask)


@pytest.mark.parametrize(
    ("width", "height", "lengths"),
    [(4, 4, [3]), (4, 4, [-1, 17]), (4000, 4000, [16_000_000]), (2, 2, [2**62, 2**62])],
)
def test_a_painted_mask_that_does_not_fit_is_refused(
    width: int, height: int, lengths: list[int]
) -> None:
    with pytest.raises(ArrayError):
        painted(PaintedMask(width=width, height=height, run_lengths=lengths), result())


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_listening_to_others_asks_for_a_long_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("short\n")
    for file in (None, token, tmp_path / "missing"):
        with pytest.raises(OptionError):
            cli._token(file, "0.0.0.0")
    token.write_text("x" * 32 + "\n")
    assert cli._token(token, "0.0.0.0") == "x" * 32
    assert cli._token(None, "127.0.0.1") is None


def _said_without(module: str) -> str:
    """Return what the command says on standard error, and fails with, where a module is missing."""
    code = f"import sys; sys.modules[{module!r}] = None; from ftsdk.serve.cli import main; main()"
    command = [sys.executable, "-c", code, "--port", str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("module", ["fastapi", "starlette.responses"])
def test_a_package_of_the_service_that_is_missing_is_named(module: str) -> None:
    said = _said_without(module)
    assert module in said
    assert "ftsdk[serve]" in said
    assert "Traceback" not in said


def test_a_module_of_ours_that_is_missing_is_no_package_to_install() -> None:
    said = _said_without("ftsdk.serve.routes")
    assert "ModuleNotFoundError" in said
    assert "ftsdk.serve.routes" in said
    assert "ftsdk[serve]" not in said
