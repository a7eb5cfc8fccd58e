"""Pictures as frames of an H.264 video, which are predicted from the frames before them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import av
import cv2
import numpy as np

from ft_forge.picture import Image
from ftsdk.streaming.recording import even_sides

#: Frames a second.
RATE = 25
#: x264's code for AVX-512 returns other frames of the same pictures from one time to the next.
_WITHOUT_AVX512 = "asm=avx2"
#: OpenCV's CV_CPU_AVX512_SKX, which has no name in Python.
_AVX512 = 256


def save(
    frames: Iterable[Image], file: Path | BinaryIO, factor: int, preset: str = "medium"
) -> None:
    """Write `frames`, each [H, W, 3] uint8 BGR of even sides, as an MP4 file.

    `factor` is x264's constant rate factor 0..51, `preset` the time it takes, by x264's names.
    """
    rest = iter(frames)
    first = next(rest)
    options = {"crf": str(factor), "preset": preset}
    if cv2.checkHardwareSupport(_AVX512):
        options["x264-params"] = _WITHOUT_AVX512
    with av.open(file, "w", format="mp4") as video:
        stream: Any = video.add_stream("libx264", rate=RATE, options=options)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in chain([first], rest):
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        video.mux(stream.encode())


def frame_of(frames: Iterable[Image], taken: int, factor: int, preset: str = "medium") -> Image:
    """Return frame `taken` of a video of `frames`, as :func:`save` writes it."""
    file = io.BytesIO()
    save(frames, file, factor, preset)
    file.seek(0)
    with av.open(file, "r") as saved:
        decoded = [frame.to_ndarray(format="bgr24") for frame in saved.decode(video=0)]
    return np.asarray(decoded[taken], np.uint8)


def filmed(image: Image, factor: int, preset: str, move: tuple[float, float], before: int) -> Image:
    """Return `image` [H, W, 3] uint8 as a frame of a video in which it came to where it is.

    `before` frames precede it, in each of which it lay `move` (right, down) px further back.
    """
    height, width = image.shape[:2]
    whole = even_sides(image)

    def moved(number: int) -> Image:
        x, y = ((number - before) * step for step in move)
        there = np.array([[1, 0, x], [0, 1, y]])
        return cv2.warpAffine(
            whole, there, whole.shape[1::-1], flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )  # fmt: skip

    frames = [moved(number) for number in range(before)]
    return frame_of([*frames, whole], before, factor, preset)[:height, :width]
