"""The doctor's other checks: the machine, the golden picture's limits, the back ends."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from small_graphs import write
from support.fake_cuda import FakeCuda
from support.fake_tensorrt import FakeTensorRt, fake_plan

from ftsdk import machine
from ftsdk.bundle import open_bundle
from ftsdk.doctor import backends, golden
from ftsdk.doctor.findings import Findings, broken_package
from ftsdk.engines.difference import relative
from ftsdk.errors import EngineAnswerError, EngineRunError
from ftsdk.trust import NANO

MANIFEST = open_bundle(NANO).manifest


def reference() -> dict[str, np.ndarray]:
    with np.load(NANO / MANIFEST.golden_tensors) as stored:
        return dict(stored)


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic", "36.4.3 (JetPack 6)"),
        ("# R35 (release), REVISION: 5.0, GCID: 35550185, BOARD: t186ref", "35.5.0 (JetPack 5)"),
        ("# R99 (release), REVISION: 1.0", "99.1.0"),
        ("something else", None),
        (None, None),
    ],
)
def test_a_jetson_release_is_read(
    tmp_path: Path, release: str | None, expected: str | None
) -> None:
    path = tmp_path / "nv_tegra_release"
    if release is not None:
        path.write_text(release + "\n")
    assert machine.l4t(path) == expected


def test_a_command_that_fails_says_why() -> None:
    assert machine.run(("no-such-command-at-all",)) is None
    printed = machine.run((sys.executable, "-c", "import sys; print(1); sys.exit('mismatch')"))
    assert printed is not None
    assert "mismatch" in printed.failure
    assert machine.output(sys.executable, "-c", "print(2)") == "2"


def test_the_stored_tensors_are_within_their_own_limits() -> None:
    same = reference()
    found = [*golden.differences_of(same, same, MANIFEST, 1e-3)]
    assert {one.name for one in found} == {
        *(name for name in same if name != "report_ids"), "mask IoU", "report",
    }  # fmt: skip
    assert all(one.within for one in found)


@pytest.mark.parametrize(
    "tensor", ["region_logits", "image_embeds", "mask_logits", "qformer_output", "encoder_output"]
)
@pytest.mark.parametrize("spoil", [lambda x: x * 1.01, lambda x: x * np.nan, lambda x: x[..., :-1]])
def test_a_tensor_that_differs_is_outside(tensor: str, spoil: object) -> None:
    expected = reference()
    found = expected | {tensor: spoil(expected[tensor])}  # type: ignore[operator]
    if found[tensor].shape != expected[tensor].shape:
        assert relative(found[tensor], expected[tensor]) == float("inf")
        return
    outside = [
        one.name for one in golden.differences_of(found, expected, MANIFEST, 1e-3) if not one.within
    ]
    assert tensor in outside


def test_garbage_text_is_outside() -> None:
    expected = reference()
    ids = expected["report_ids"]
    found = expected | {"report_ids": (ids + 1) % 97}
    (text,) = [
        one
        for one in golden.differences_of(found, expected, MANIFEST, 1e-3)
        if one.name == "report"
    ]
    assert not text.within


@pytest.fixture
def doubling(tmp_path: Path) -> bytes:
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    return write(tmp_path / "double.onnx", nodes, {}, [1, 64], [1, 64]).read_bytes()


def test_a_small_plan_is_run_and_its_numbers_are_looked_at(doubling: bytes, tmp_path: Path) -> None:
    memory = FakeCuda()
    backends.run_small_plan(fake_plan(doubling), FakeTensorRt(), memory)
    nodes = [helper.make_node("Abs", ["x"], ["y"])]
    other = write(tmp_path / "other.onnx", nodes, {}, [1, 64], [1, 64]).read_bytes()
    with pytest.raises(EngineAnswerError, match="wrong numbers"):
        backends.run_small_plan(fake_plan(other), FakeTensorRt(), memory)
    with pytest.raises(EngineRunError, match="sm_86"):
        backends.run_small_plan(fake_plan(doubling, gpu="sm_86"), FakeTensorRt(), memory)
    assert memory.allocated == 0


def test_tensorrt_rtx_builds_the_small_plan() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    plans = [
        backends.build_small_plan(trt, getattr(trt.ComputeCapability, name))
        for name in ("SM86", "SM120")
    ]
    assert plans[0] != plans[1]


def test_the_native_kernels_are_right_here_and_wrong_ones_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert backends.check_native().faults == []
    from ftsdk import _native

    right = _native.resize_normalise

    def drifting(*given: object, portable: bool, **named: object) -> object:
        return right(*given, portable=portable, **named) + portable  # type: ignore[arg-type]

    monkeypatch.setattr(_native, "resize_normalise", drifting)
    (fault,) = backends.check_native().faults
    assert "AVX2 as portable" in fault.found


def test_an_error_inside_a_check_becomes_its_fault() -> None:
    found = Findings("a check")
    with found.collecting("OpenCV"):
        raise ImportError("libGL.so.1: cannot open shared object file")
    (fault,) = found.faults
    assert "libgl1" in fault.cure
    assert "libGL" in found.facts["OpenCV"]
    assert "libgl1" not in broken_package("No module named 'tokenizers'").cure
