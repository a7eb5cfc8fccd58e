from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ft_export.model.nano import (
    LOCATED,
    REGIONS,
    NanoForgeryPrompter,
    NanoMaskDecoder,
    NanoQFormer,
    NanoVisionEncoder,
    ScoreHead,
    expected_iou_cut,
    region_overlap,
)

SIDE = 64


@pytest.fixture(scope="module")
def seen() -> dict[str, torch.Tensor]:
    """Every tensor of the chain for two random pictures of a 64-pixel model."""
    torch.manual_seed(0)
    stages = [
        NanoVisionEncoder(SIDE, embed=32, heads=2, depth=1),
        NanoForgeryPrompter(embed=32, hidden=16),
        NanoMaskDecoder(width=16),
        NanoQFormer(embed=32, width=24, heads=2, depth=1),
    ]
    tensors = {"pixel_values": torch.randn(2, 3, SIDE, SIDE)}
    tensors["region_labels"] = torch.zeros(2, REGIONS)
    with torch.no_grad():
        for stage in stages:
            result = stage.eval()(*(tensors[name] for name in stage.inputs))
            result = result if isinstance(result, tuple) else (result,)
            tensors |= dict(zip(stage.outputs, result, strict=True))
    return tensors


def test_every_stage_gives_the_documented_shapes(seen: dict[str, torch.Tensor]) -> None:
    shapes = {name: tuple(value.shape) for name, value in seen.items()}
    assert shapes["image_embeds"] == (2, (SIDE // 32) ** 2, 32)
    assert shapes["detail_48"] == (2, 64, SIDE // 8, SIDE // 8)
    assert shapes["detail_96"] == (2, 32, SIDE // 4, SIDE // 4)
    assert shapes["region_maps"] == (2, len(LOCATED), SIDE // 8, SIDE // 8)
    assert shapes["region_logits"] == (2, REGIONS)
    assert shapes["score_logits"] == (2, 1)
    assert shapes["mask_logits"] == (2, SIDE // 2, SIDE // 2)
    assert shapes["qformer_output"] == (2, 24, 24)


def test_pictures_of_a_batch_do_not_see_each_other(seen: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(0)
    encoder = NanoVisionEncoder(SIDE, embed=32, heads=2, depth=1).eval()
    with torch.no_grad():
        alone = encoder(seen["pixel_values"][1:])
        together = encoder(seen["pixel_values"])
    for one, both in zip(alone, together, strict=True):
        torch.testing.assert_close(one, both[1:], atol=1e-5, rtol=1e-4)


def test_region_labels_reach_the_mask(seen: dict[str, torch.Tensor]) -> None:
    decoder = NanoMaskDecoder(width=16).eval()
    none = torch.zeros(2, REGIONS)
    nose = none.clone()
    nose[:, 4] = 1
    inputs = [seen[name] for name in ("detail_48", "detail_96", "region_maps")]
    with torch.no_grad():
        without, under_nose = (
            decoder(*inputs, labels, seen["score_logits"]) for labels in (none, nose)
        )
    assert not torch.allclose(without, under_nose)


def test_doubt_needs_neither_label_nor_score() -> None:
    decoder = NanoMaskDecoder(width=16)
    decoder.certain.fill_(1.0)
    labels = torch.zeros(3, REGIONS)
    labels[2, 4] = 1
    doubt = decoder.doubt(labels, torch.tensor([[-2.0], [4.0], [-2.0]]))
    assert doubt[:, 0].tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-4)


@given(
    arrays(np.float32, (12, 12), elements=st.floats(-6, 6, width=32)),
    st.floats(0.5, 3.0),
)
def test_no_other_cut_has_a_clearly_higher_expected_iou(
    noise: NDArray[np.float32], side: float
) -> None:
    coarse = np.kron(noise, np.ones((4, 4), np.float32)) / side
    cut = float(expected_iou_cut(torch.from_numpy(coarse[None]))[0])
    assert -3 <= cut <= 2
    inside = 1 / (1 + np.exp(-coarse))

    def expected(threshold: float) -> float:
        both = (inside * (coarse > threshold)).sum()
        return float(both / (inside.sum() + (coarse > threshold).sum() - both))

    # Smooth weighing, and few pixels, cost something where the curve is flat.
    assert expected(cut) > max(expected(c) for c in np.arange(-3, 2.1, 0.5)) - 0.08


def test_region_overlap_is_the_share_of_a_region_that_the_area_covers() -> None:
    maps = torch.full((1, len(LOCATED), 8, 8), -20.0)
    maps[0, 0, :, :4] = 20.0
    area = torch.zeros(1, 1, 8, 8)
    area[..., :4, :] = 1.0
    mean, most = region_overlap(maps, area).chunk(2, dim=1)
    # One is added to the region's 32 cells, so that an absent region divides by no zero.
    assert mean[0, 0].item() == pytest.approx(16 / 33, abs=1e-4)
    assert most[0, 0].item() == pytest.approx(1.0, abs=1e-4)
    assert np.allclose(mean[0, 1:].numpy(), 0, atol=1e-4)


def test_the_score_begins_as_the_strongest_evidence_and_sees_the_face() -> None:
    torch.manual_seed(0)
    head = ScoreHead(embed=32).eval()
    evidence, detail = torch.randn(2, 1, 8, 8), torch.randn(2, 64, 8, 8)
    embeds, face = torch.randn(2, 4, 32), torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        strongest = torch.nn.functional.avg_pool2d(evidence, 2, 1).amax((2, 3))
        assert torch.equal(head(evidence, detail, embeds, face), strongest)
        torch.nn.init.ones_(head.out.weight)
        found = head(evidence, detail, embeds, face)
        assert not torch.equal(found, strongest)
        alone = head(evidence[:1], detail[:1], embeds[:1], face[:1])
        assert torch.allclose(alone, found[:1], atol=1e-5)
        elsewhere = head(evidence, detail, embeds, 1 - face)
        assert not torch.allclose(elsewhere, found)
