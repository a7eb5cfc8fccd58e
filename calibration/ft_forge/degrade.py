"""What happens to a picture on its way: compression, resizing, blur, noise.

The same functions treat forged and untouched pictures, or a model would learn the codec.
"""

from __future__ import annotations

import cv2
import numpy as np

from ft_forge.picture import Image

#: Bits of a pixel's fraction in the ends of the lines that OpenCV draws.
_FRACTION = 4
_RESIZERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)


def _saved(image: Image, suffix: str, parameters: list[int]) -> Image:
    """Return `image` as it comes back from a file of the format that `suffix` names."""
    _, data = cv2.imencode(suffix, image, parameters)
    decoded: Image = cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return decoded


def jpeg(image: Image, quality: int) -> Image:
    """Return `image` `[H, W, 3]` uint8 after JPEG at `quality` 1..100."""
    return _saved(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, int(quality)])


def webp(image: Image, quality: int) -> Image:
    """Return `image` `[H, W, 3]` uint8 after lossy WebP at `quality` 1..100."""
    return _saved(image, ".webp", [cv2.IMWRITE_WEBP_QUALITY, int(quality)])


def avif(image: Image, quality: int) -> Image:
    """Return `image` `[H, W, 3]` uint8 after AVIF at `quality` 0..100, quickly encoded."""
    speed = [cv2.IMWRITE_AVIF_SPEED, 10]
    return _saved(image, ".avif", [cv2.IMWRITE_AVIF_QUALITY, int(quality), *speed])


def motion_blur(image: Image, length: float, angle: float) -> Image:
    """Return `image` [H, W, 3] uint8 blurred along a line of `length` px, `angle` in radians."""
    reach = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    half = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = np.round(np.stack([reach - half, reach + half]) * (1 << _FRACTION)).astype(int)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 255, 1, cv2.LINE_AA, _FRACTION)
    weights = kernel / np.float32(kernel.sum())
    return cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_REFLECT_101)


def chromatic_aberration(
    image: Image, axis: tuple[float, float], scales: tuple[float, float]
) -> Image:
    """Return `image` [H, W, 3] uint8 through a lens that shows blue and red larger than green.

    `axis` (x, y) is the lens's, in px, and `scales` how much larger blue and red are about it.
    """
    seen = image.copy()
    for channel, scale in zip((0, 2), scales, strict=True):
        x, y = ((1 - scale) * at for at in axis)
        seen[..., channel] = cv2.warpAffine(
            image[..., channel], np.array([[scale, 0, x], [0, scale, y]]), image.shape[1::-1],
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip
    return seen


def grey(image: Image) -> Image:
    """Return `image` [H, W, 3] uint8 without its colours."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def add_noise(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Return `image` [H, W, 3] uint8 with Gaussian noise of `sigma` grey levels of 255."""
    noise = rng.standard_normal(image.shape, dtype=np.float32) * sigma
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def add_grain(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Return `image` [H, W, 3] uint8 with noise of `sigma` grey levels as cameras leave it.

    It spreads over neighbouring pixels, since a camera interpolates its colours, and is alike in
    the three channels in part.
    """
    white = rng.standard_normal((*image.shape[:2], 4), dtype=np.float32)
    grain = cv2.GaussianBlur(white, (3, 3), 0.7)
    grain = grain * np.float32(sigma / grain.std())
    noise = 0.8 * grain[..., 3:] + 0.6 * grain[..., :3]
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def denoise(image: Image, level: float) -> Image:
    """Return `image` [H, W, 3] uint8 without noise of `level` grey levels, by non-local means.

    Buades, Coll and Morel, CVPR 2005; patches of 5 px, sought within 11.
    """
    return cv2.fastNlMeansDenoisingColored(image, None, level, level, 5, 11)


def clahe(image: Image, limit: float) -> Image:
    """Return `image` [H, W, 3] uint8 with its lightness equalised place by place.

    Contrast-limited adaptive histogram equalisation (Zuiderveld, 1994) on 8x8 tiles, as an editor's
    automatic enhancement does; `limit` caps the contrast.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
    lab[..., 0] = cv2.createCLAHE(limit, (8, 8)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)


def rescale(image: Image, factor: float, down: int, up: int) -> Image:
    """Return `image` [H, W, 3] uint8 resized by `factor` and back, with OpenCV's methods."""
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=down)
    return cv2.resize(small, image.shape[1::-1], interpolation=up)


def earlier_save(image: Image, seed: int) -> Image:
    """Return `image` `[H, W, 3]` uint8 as a JPEG file that was saved before anyone forged it.

    What an editor then writes lacks that file's block grid: the oldest trace of all, and each
    camera and site leaves it at a quality of its own.
    """
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        image = rescale(image, float(rng.uniform(0.7, 0.97)), cv2.INTER_AREA, cv2.INTER_CUBIC)
    return jpeg(image, int(rng.integers(60, 99)))


def degrade(image: Image, rng: np.random.Generator, harm: float = 1.0) -> Image:
    """Return `image` after a random history; `harm` scales how often it is harmed.

    `[H, W, 3]` uint8 in and out. About one picture in three passes unharmed at a harm of 1.
    """
    if rng.random() < 0.30 * harm:
        down, up = rng.choice(len(_RESIZERS), 2)
        image = rescale(image, float(rng.uniform(0.6, 0.97)), _RESIZERS[down], _RESIZERS[up])
    if rng.random() < 0.12 * harm:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.1)))
    if rng.random() < 0.12 * harm:
        image = add_noise(image, float(rng.uniform(0.5, 5.0)), rng)
    elif rng.random() < 0.10 * harm:
        image = add_grain(image, float(rng.uniform(0.5, 5.0)), rng)
    if rng.random() < 0.55 * harm:
        image = jpeg(image, int(rng.integers(55, 99)))
    return image
