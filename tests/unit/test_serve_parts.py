"""The service's parts without a server: names, stores, painted masks, settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import encoded

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from ftsdk.errors import AnalysisNotFoundError, ArrayError, OptionError
from ftsdk.imaging.decode import decode
from ftsdk.report.credentials import Credentials
from ftsdk.report.edits import Edit
from ftsdk.result import Provenance, Region, Result, run_lengths
from ftsdk.serve import cli
from ftsdk.serve.analyses import Analysis, MemoryStore, new_id
from ftsdk.serve.disk import DiskStore
from ftsdk.serve.documents import PaintedMask
from ftsdk.serve.service import painted
from ftsdk.serve.settings import is_loopback
from ftsdk.serve.uploads import clean_name


def _result() -> Result:
    picture = replace(decode(encoded("png")), name="face.png")
    made = Provenance(
        "0.1", "tiny", "ab" * 32, "float32", "runtime 1", "cpu", picture.sha256, "now"
    )
    return Result(
        picture=picture, face=None, probabilities=np.eye(8, dtype=np.float32), mask_threshold=0.5,
        regions=(Region("mouth", 0.91, 0.5),), region_probabilities={"mouth": 0.91}, report="Text.",
        report_ids=(0, 5), score=0.83, score_threshold=0.7, corrections=("regions",),
        limits=("A hint.",), timings={"total": 1.5}, provenance=made,
        image_tensors={"a.b": np.arange(6, dtype=np.float32)}, operating_point="fpr_0.05",
    )  # fmt: skip


def _analysis() -> Analysis:
    facts = (("Signed by", "Ada"),)
    edit = Edit("now", "Ada", ("mouth",), mask=False)
    credentials = Credentials("present", "note", facts)
    return Analysis(new_id(), _result(), encoded("png"), credentials, (edit,), "p" * 22)


def test_memory_is_bounded_in_number() -> None:
    store = MemoryStore(2, 2**40, 60)
    kept = [_analysis() for _ in range(3)]
    for one in kept:
        store.put(one)
    assert len(store) == 2
    assert store.get(kept[2].id).id == kept[2].id
    with pytest.raises(AnalysisNotFoundError):
        store.get(kept[0].id)


def test_memory_is_bounded_in_bytes_and_age() -> None:
    now = 0.0
    first, second = _analysis(), _analysis()
    store = MemoryStore(9, first.nbytes + 1, 60, clock=lambda: now)
    store.put(first)
    store.put(second)
    assert len(store) == 1
    now = 61.0
    store.prune()
    assert len(store) == 0
    assert store.nbytes == 0


def test_kept_tensors_are_the_store_s_own() -> None:
    analysis = _analysis()
    store = MemoryStore(2, 2**40, 60)
    store.put(analysis)
    given, kept = analysis.result.image_tensors, store.get(analysis.id).result.image_tensors
    assert set(kept) == set(given)
    for name, value in kept.items():
        assert np.array_equal(value, given[name])
        assert value.flags.owndata
        assert not np.shares_memory(value, given[name])


def test_disk_gives_back_what_it_was_given(tmp_path: Path) -> None:
    analysis = _analysis()
    store = DiskStore(tmp_path / "kept")
    store.put(analysis)
    store.close()
    again = DiskStore(tmp_path / "kept")
    found = again.get(analysis.id)
    assert found.result.to_dict() == analysis.result.to_dict()
    assert found.result.report_ids == analysis.result.report_ids
    assert np.array_equal(found.result.image_tensors["a.b"], np.arange(6))
    assert (found.edits, found.credentials) == (analysis.edits, analysis.credentials)
    assert (found.parent, found.original) == (analysis.parent, analysis.original)
    again.delete(analysis.id)
    assert len(again) == 0
    assert not (tmp_path / "kept" / analysis.id).exists()
    with pytest.raises(AnalysisNotFoundError):
        again.get(analysis.id)
    again.close()


@given(st.text(max_size=300))
def test_names_are_tamed(name: str) -> None:
    clean = clean_name(name)
    assert 0 < len(clean) <= 120
    assert clean.isprintable()
    assert "/" not in clean
    assert "\\" not in clean


def test_a_painted_mask_survives_its_run_lengths() -> None:
    result = _result()
    height, width = result.picture.height, result.picture.width
    mask = np.random.default_rng(3).random((height, width)) > 0.5
    sent = PaintedMask(width=width, height=height, run_lengths=run_lengths(mask))
    assert np.array_equal(painted(sent, result), mask)


@pytest.mark.parametrize(
    ("width", "height", "lengths"),
    [(4, 4, [3]), (4, 4, [-1, 17]), (4000, 4000, [16_000_000]), (2, 2, [2**62, 2**62])],
)
def test_a_painted_mask_that_does_not_fit_is_refused(
    width: int, height: int, lengths: list[int]
) -> None:
    with pytest.raises(ArrayError):
        painted(PaintedMask(width=width, height=height, run_lengths=lengths), _result())


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
