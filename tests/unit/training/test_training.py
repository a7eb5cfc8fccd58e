from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ft_forge import LABELS
from ft_forge.words import all_sentences
from ft_training.augment import Target, _at_another_size, augment, target, window
from ft_training.batches import _corner
from ft_training.calibration import calibrate, fit_temperature, likelihood, logit_of
from ft_training.features import covered_regions
from ft_training.fitting import _QUIET, _gains
from ft_training.language import build_tokenizer, prompt_for
from ft_training.model import Nano, conditioning, keep_exact, normalised
from ft_training.store import MAP_SIZE, Sample
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing


def test_calibration_makes_the_likelihood_honest() -> None:
    rng = np.random.default_rng(0)
    untouched, forged = rng.normal(-1, 1, 4000), rng.normal(1, 1, 4000)
    temperature, bias = fit_temperature(untouched, forged)
    # Two unit normals at -1 and 1: the true log odds of x are 2 x.
    assert temperature == pytest.approx(0.5, abs=0.05)
    assert bias == pytest.approx(0.0, abs=0.08)


def test_operating_points_keep_their_false_positive_rate() -> None:
    rng = np.random.default_rng(1)
    untouched, forged = rng.normal(0, 2, 1000), rng.normal(3, 2, 1000)
    score = calibrate(untouched, forged)
    quiet = likelihood(untouched, score)
    assert (quiet > score["operating_points"]["fpr_0.01"]).mean() <= 0.01
    assert (quiet > score["operating_points"]["fpr_0.05"]).mean() <= 0.05
    back = [logit_of(float(value), score) for value in quiet[:50]]
    assert back == pytest.approx(untouched[:50].tolist())


@given(st.sampled_from(all_sentences()))
def test_the_tokenizer_gives_every_sentence_back(text: str) -> None:
    tokenizer = build_tokenizer()
    encoded = tokenizer.encode(text)
    assert encoded.ids[-1] == 1
    assert 2 not in encoded.ids
    assert tokenizer.decode(encoded.ids, skip_special_tokens=True) == text


def test_the_tokenizer_knows_every_prompt() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.token_to_id("<pad>") == 0
    assert 2 not in tokenizer.encode(prompt_for(list(LABELS))).ids
    assert 2 not in tokenizer.encode(prompt_for([])).ids


def test_conditioning_draws_zeros_and_ones_and_varies() -> None:
    labels = torch.zeros(400, 21)
    labels[:, 4] = 1
    drawn = conditioning(labels, -torch.ones(400, 21), torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    exact = (drawn == labels).all(1).float().mean()
    assert 0.1 < exact < 0.5


def test_only_regions_under_the_mask_are_covered() -> None:
    maps = np.zeros((11, 48, 48), np.float32)
    maps[0, 10:14, 10:20] = 1  # eye
    maps[4, 20:30, 20:28] = 1  # nose
    mask = np.zeros((48, 48), bool)
    assert covered_regions(mask, maps) is None
    mask[20:30, 20:28] = True
    assert covered_regions(mask, maps) == ["nose"]


def test_one_covered_side_names_a_pair() -> None:
    maps = np.zeros((11, 48, 48), np.float32)
    maps[0, 10:14, 10:20] = maps[0, 10:14, 30:40] = 1  # eyes
    mask = np.zeros((48, 48), bool)
    mask[10:14, 10:14] = True  # four tenths of one
    assert covered_regions(mask, maps) == ["eye"]


@pytest.mark.parametrize("family", ["splice", "untouched"])
def test_a_falling_mask_is_worth_its_overlap_or_its_emptiness(family: str) -> None:
    logits = np.full((96, 96), -4.0, np.float32)
    logits[:48, :48] = 1.1
    mask = np.zeros((192, 192), np.uint8)
    if family != "untouched":
        mask[:96, :96] = 1
    gains = np.array(_gains(logits, Sample(mask, mask, mask, mask, {"family": family})))
    shown = _QUIET < 1.1
    if family == "untouched":
        assert not gains[shown].any()
        assert (gains[~shown] > 0).all()
    else:
        assert (gains[shown] > 0.95).all()
        assert not gains[~shown].any()


def test_fixed_filters_keep_every_grey_level_in_bfloat16() -> None:
    encoder = Nano().vision_encoder
    pictures = normalised(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8))
    exact = encoder.grid_48.grid(pictures), encoder.high_pass(pictures)
    keep_exact(encoder)
    with torch.autocast("cpu", torch.bfloat16):
        again = encoder.grid_48.grid(pictures), encoder.high_pass(pictures)
    for one, other in zip(exact, again, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("seed", range(6))
def test_picture_mask_and_maps_are_augmented_together(seed: int) -> None:
    image = np.full((192, 192, 3), 60, np.uint8)
    image[60:120, 50:110] = 220
    mask = np.zeros((192, 192), np.uint8)
    mask[60:120, 50:110] = 1
    maps = np.zeros((MAP_SIZE, MAP_SIZE, 11), np.uint8)
    maps[30:60, 25:55] = 255
    sample = Sample(image, mask, maps, np.zeros(21, np.uint8), {})
    changed = augment(sample, np.random.default_rng(seed))
    bright = changed.image.mean(axis=2) > 0.5 * (changed.image.max() + float(changed.image.min()))
    agreement = (bright & (changed.mask > 0)).sum() / (bright | (changed.mask > 0)).sum()
    assert agreement > 0.85
    arrays = target(changed)
    assert arrays.image.shape == (192, 192, 3)
    assert arrays.mask.shape == (96, 96)
    assert arrays.maps.shape == (11, 24, 24)
    coarse = arrays.mask.reshape(24, 4, 24, 4).mean((1, 3))
    assert np.abs(coarse - arrays.maps[0]).mean() < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_a_face_of_another_size_stays_where_it_was(seed: int) -> None:
    image = np.full((192, 192, 3), 40, np.uint8)
    image[48:144, 64:128] = 200
    seen = _at_another_size(image, np.random.default_rng(seed), 0.0)
    assert seen.shape == image.shape
    assert np.abs(seen.astype(float) - image).mean() < 4
    assert not np.array_equal(seen, image)


def test_a_window_shows_the_same_place_of_everything() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 12), np.uint8)
    picture = np.kron(coarse, np.ones((32, 32), np.uint8))
    maps = np.zeros((11, 48, 48), np.float32)
    maps[0, 8:12, 8:12] = 1  # eye, inside the window
    maps[4, 40:44, 40:44] = 1  # nose, outside
    labels = np.zeros(21, np.float32)
    labels[[LABELS.index("eye"), LABELS.index("nose")]] = 1
    whole = Target(np.dstack([picture] * 3), picture[::2, ::2], maps, labels)
    seen = window(whole, (32, 64), 256)
    assert np.array_equal(seen.image[::32, ::32, 0], coarse[1:9, 2:10])
    assert np.array_equal(seen.mask[::16, ::16], coarse[1:9, 2:10])
    assert np.array_equal(seen.maps[0, 4:8, 0:4], np.ones((4, 4)))
    assert [LABELS[i] for i in np.flatnonzero(seen.labels)] == ["eye"]


@given(st.integers(0, 2**32 - 1), st.integers(0, 190), st.integers(0, 190))
def test_a_window_holds_the_change_and_stays_inside(seed: int, y: int, x: int) -> None:
    mask = np.zeros((192, 192), np.float32)
    mask[y : y + 2, x : x + 2] = 1
    top, left = _corner(mask, 256, np.random.default_rng(seed))
    assert top % 32 == left % 32 == 0
    assert 0 <= top <= 128
    assert 0 <= left <= 128
    assert mask[top // 2 : top // 2 + 128, left // 2 : left // 2 + 128].any()


@torch.no_grad()
def test_a_token_keeps_its_position_in_a_window() -> None:
    torch.manual_seed(0)
    model = Nano().eval()
    model.vision_encoder.position.normal_()
    grid = model.vision_encoder.position.view(12, 12, -1)
    inside = model._positions(torch.tensor([[0, 0], [96, 128]]), 256)
    assert torch.equal(inside[0].view(8, 8, -1), grid[:8, :8])
    assert torch.equal(inside[1].view(8, 8, -1), grid[3:11, 4:12])
    pixels = torch.randn(1, 3, 384, 384)
    assert torch.equal(model.see(pixels).image_embeds, model.vision_encoder(pixels)[0])


def test_training_sees_pixels_as_the_sdk_does() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (384, 384, 3), np.uint8)
    expected = Preprocessing(384, CLIP_MEAN, CLIP_STD).pixel_values(picture)
    assert np.allclose(normalised(torch.from_numpy(picture[None])).numpy(), expected, atol=1e-5)
