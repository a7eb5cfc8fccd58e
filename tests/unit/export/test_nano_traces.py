from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from ft_export.model.nano_traces import BLOCK, BlockGrid, HighPass, cosine_basis
from ft_forge.degrade import jpeg
from ft_training.model import normalised

SIDE = 128
#: Channels of the waves for a step of 5: steps begin at 2, 64 coefficients each.
STEP_5 = slice(3 * 64, 4 * 64)


def grid(picture: np.ndarray) -> torch.Tensor:
    """Return the features `[576, 16, 16]` of a picture `[128, 128, 3]` uint8 BGR."""
    return BlockGrid()(normalised(torch.from_numpy(picture[None])))[0]


def saved(quality: int) -> np.ndarray:
    """Return a corner of the public-domain portrait as a JPEG file holds it, without colour."""
    corner = cv2.cvtColor(data.astronaut()[:SIDE, 160 : 160 + SIDE], cv2.COLOR_RGB2GRAY)
    return jpeg(np.dstack([corner] * 3), quality)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_basis_is_the_transform_of_jpeg(seed: int) -> None:
    block = np.random.default_rng(seed).uniform(-128, 127, (BLOCK, BLOCK)).astype(np.float32)
    found = torch.nn.functional.conv2d(torch.from_numpy(block)[None, None], cosine_basis())
    np.testing.assert_allclose(found.reshape(BLOCK, BLOCK), cv2.dct(block), atol=2e-3)


def test_a_saved_picture_lies_on_its_grid_and_a_moved_one_does_not() -> None:
    # At quality 75 the step of coefficient (0, 2) is 5 (ITU-T T.81, table K.1, halved).
    on_grid = saved(75)
    moved = np.roll(on_grid, (3, 5), (0, 1))
    kept, lost = (grid(one)[STEP_5][2].mean().item() for one in (on_grid, moved))
    assert kept > 0.8
    assert abs(lost) < 0.4


def test_a_pasted_patch_leaves_the_grid_only_where_it_lies() -> None:
    picture = saved(75)
    forged = picture.copy()
    forged[32:96, 32:96] = picture[35:99, 37:101]
    fits = grid(forged)[STEP_5][2]
    inside = fits[4:12, 4:12].mean().item()
    outside = (fits.sum().item() - 64 * inside) / (256 - 64)
    assert outside > 0.8
    assert inside < 0.5 * outside


def test_features_stay_within_one() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    features = grid(noise)
    assert features.shape == (BlockGrid.channels, SIDE // BLOCK, SIDE // BLOCK)
    assert features.abs().max().item() <= 1.0


def test_the_grid_is_seen_in_the_luminance_of_jpeg() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (BLOCK, BLOCK, 3), np.uint8)
    luminance = noise[..., ::-1] @ np.array([0.299, 0.587, 0.114])
    size = np.abs(cv2.dct(luminance - 128)).ravel()
    found = grid(noise)[-2 * BLOCK**2 :].ravel()  # size / (size + 0.5), and then + 3
    np.testing.assert_allclose(found[: BLOCK**2], size / (size + 0.5), atol=2e-3)
    np.testing.assert_allclose(found[BLOCK**2 :], size / (size + 3.0), atol=2e-3)


def test_a_residual_is_of_one_colour_and_falls_off_by_the_knee() -> None:
    # Blue has a ramp that turns by 1 grey level a pixel in the middle, where the last filter,
    # (1, -2, 1) / 2, gives half of that.
    picture = np.full((32, 32, 3), 90, np.uint8)
    picture[:, 16:, 0] = 90 + np.arange(16)
    residual = HighPass()(normalised(torch.from_numpy(picture[None])))[0, :, 8]
    assert residual[8, 16].item() == pytest.approx(0.5 / (0.5 + 3), abs=1e-4)
    assert residual[:6].abs()[:, 4:-4].max().item() < 1e-4


def test_a_flat_picture_has_no_residual() -> None:
    flat = normalised(torch.full((1, 32, 32, 3), 90, dtype=torch.uint8))
    residual = HighPass()(flat)
    assert residual.shape == (1, 9, 32, 32)
    assert residual[..., 2:-2, 2:-2].abs().max().item() < 1e-3
