"""Where a face is edited: hulls of its landmarks, soft alphas, and what goes through them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu
from scipy.spatial import ConvexHull
from skimage import color, draw, exposure

from ft_forge.geometry import PARTS

#: [H, W, 3] float64, RGB of 0 to 1; [H, W] bool; [H, W] float64 of 0 to 1; [478, 2] (x, y) in px.
Image = NDArray[np.float64]
Mask = NDArray[np.bool_]
Alpha = NDArray[np.float64]
Points = NDArray[np.float64]


def part(points: Points, *names: str) -> Points:
    """Return the landmarks [N, 2] of some of `ft_forge.geometry.PARTS`."""
    return points[[index for name in names for index in PARTS[name]]]


def width_of(points: Points) -> float:
    """Return the width of a face in px."""
    return float(np.ptp(part(points, "face_oval")[:, 0]))


def hull(shape: tuple[int, ...], around: Points, grow: float = 1.0) -> Mask:
    """Return the convex hull of points, `grow` times as large, off the picture's border."""
    corners = around[ConvexHull(around).vertices]
    corners = (corners - corners.mean(0)) * grow + corners.mean(0)
    inside: Mask = draw.polygon2mask(shape[:2], corners[:, ::-1])
    inside[:3], inside[-3:], inside[:, :3], inside[:, -3:] = False, False, False, False
    return inside


def soft(area: Alpha | Mask, sigma: float) -> Alpha:
    """Return an area whose edge is `sigma` px soft."""
    return np.asarray(ndimage.gaussian_filter(area.astype(np.float64), sigma))


def mixed(image: Image, patch: Image, alpha: Alpha) -> Image:
    """Return `patch` over `image`."""
    return np.clip(image + alpha[..., None] * (patch - image), 0, 1)


def like_histogram(patch: Image, image: Image, area: Mask) -> Image:
    """Return `patch` with the colours that `image` has in `area`, by their histograms."""
    matched = patch.copy()
    matched[area] = exposure.match_histograms(patch[area], image[area], channel_axis=-1)
    return matched


def like_moments(patch: Image, image: Image, area: Mask) -> Image:
    """Return `patch` with the colours that `image` has in `area`, by mean and deviation in Lab."""
    lab, goal = color.rgb2lab(patch), color.rgb2lab(image)[area]
    have = lab[area]
    gain = goal.std(0) / (have.std(0) + 1e-3)
    return np.clip(color.lab2rgb((lab - have.mean(0)) * gain + goal.mean(0)), 0, 1)


def cloned(image: Image, patch: Image, area: Mask) -> Image:
    """Return `patch` in `area` with its gradients kept and its border that of `image`.

    Perez et al., "Poisson Image Editing" (2003): what is missing at the border is spread over the
    area as a membrane, of which each pixel is the mean of its four neighbours.
    """
    number = np.full(area.shape, -1)
    number[area] = np.arange(area.sum())
    ys, xs = np.nonzero(area)
    here, missing = np.arange(len(ys)), image - patch
    border: NDArray[Any] = np.zeros((len(ys), 3))
    rows, columns = [here], [here]
    values = [np.full(len(ys), 4.0)]
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beside = number[ys + dy, xs + dx]
        within = beside >= 0
        rows.append(here[within])
        columns.append(beside[within])
        values.append(np.full(int(within.sum()), -1.0))
        border[~within] += missing[ys + dy, xs + dx][~within]
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    membrane = splu(sparse.csc_matrix(entries)).solve(border)
    result = image.copy()
    result[area] = np.clip(patch[area] + membrane, 0, 1)
    return result
