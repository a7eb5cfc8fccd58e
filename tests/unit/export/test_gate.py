"""The accuracy gate."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from ft_export.errors import GateError
from ft_export.gates.encoders import Judged, measure_masks
from ft_export.gates.stage import (
    MAX_ABSOLUTE,
    MAX_RELATIVE,
    compare,
    require_equal_text,
    require_passed,
)
from ftsdk.manifest import Manifest

REFERENCE = np.linspace(-1, 1, 1000, dtype=np.float32).reshape(1, 10, 100)


def test_equal_tensors_pass() -> None:
    entries = compare("qformer", {"x": REFERENCE, "more": REFERENCE}, {"x": REFERENCE})
    require_passed(entries)
    assert [(e.stage, e.tensor, e.max_absolute, e.relative) for e in entries] == [
        ("qformer", "x", 0.0, 0.0)
    ]


def test_integers_are_not_measured() -> None:
    assert compare("qformer", {"ids": np.arange(3)}, {"ids": np.arange(3)}) == []


def test_one_wrong_value_fails_and_the_stage_and_tensor_are_named() -> None:
    found = REFERENCE.copy()
    found[0, 3, 5] += 2 * MAX_ABSOLUTE
    with pytest.raises(GateError) as caught:
        require_passed(compare("mask_decoder", {"logits": found}, {"logits": REFERENCE}))
    assert "mask_decoder" in caught.value.what
    assert "logits" in caught.value.expected
    assert "0.0002" in caught.value.found
    assert caught.value.cure


def test_a_small_error_everywhere_fails_by_its_norm() -> None:
    found = REFERENCE * np.float32(1 + 3 * MAX_RELATIVE)
    (entry,) = compare("qformer", {"x": found}, {"x": REFERENCE})
    assert entry.max_absolute <= MAX_ABSOLUTE
    with pytest.raises(GateError):
        require_passed([entry])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_fails(bad: float) -> None:
    found = REFERENCE.copy()
    found[0, 0, 0] = bad
    with pytest.raises(GateError):
        require_passed(compare("qformer", {"x": found}, {"x": REFERENCE}))


def test_large_activations_are_measured_by_their_size() -> None:
    reference = REFERENCE * 1e4
    found = reference.copy()
    found[0, 0, 0] += 0.01
    require_passed(compare("qformer", {"x": found}, {"x": reference}))


@pytest.mark.parametrize("found", [np.zeros((1, 10, 99), np.float32), REFERENCE[0]])
def test_another_shape_is_no_agreement(found: np.ndarray) -> None:
    with pytest.raises(GateError, match="qformer") as caught:
        compare("qformer", {"x": found}, {"x": REFERENCE})
    assert str(found.shape) in caught.value.found


def test_another_text_fails() -> None:
    require_equal_text([0, 4, 1], (0, 4, 1))
    for other in ([0, 4], [0, 4, 2], []):
        with pytest.raises(GateError) as caught:
            require_equal_text(other, [0, 4, 1])
        assert str([0, 4, 1]) in caught.value.expected
        assert str(other) in caught.value.found


@pytest.mark.parametrize(("marked", "expected"), [(3, 1.0), (60, 1 / 30)])
def test_a_mask_of_a_few_pixels_fails_no_encoder(marked: int, expected: float) -> None:
    def masked(pixels: int) -> dict[str, np.ndarray]:
        logits = np.full((1, 192, 192), -5, np.float32)
        logits[0, 0, :pixels] = 5
        return {"mask_logits": logits, "region_logits": np.zeros((1, 1), np.float32)}

    stands_for = {"labels": ("eye",), "region_threshold": 0.5, "mask_threshold": 0.5, "score": None}
    manifest = cast(Manifest, SimpleNamespace(**stands_for))
    gate = measure_masks([Judged(masked(marked), masked(2))], manifest, {}, waived=False)
    assert gate.mean_mask_iou == pytest.approx(expected)
