"""What TensorRT learnt of its kernels' speed in earlier builds, kept from one build to the next."""

from __future__ import annotations

from types import ModuleType
from typing import Any


class Timings:
    """TensorRT's timing cache of one GPU and version.

    TensorRT-RTX chooses its kernels when a plan is first run, and keeps nothing of a build.

    Attributes:
        content: the cache as TensorRT writes it; empty before the first build.
    """

    def __init__(self, content: bytes = b"") -> None:
        self.content = content

    def attach(self, trt: ModuleType, config: Any) -> None:
        """Give a build the kernel times measured so far, or none where TensorRT refuses them."""
        if not _kept_by(trt):
            return
        if not config.set_timing_cache(config.create_timing_cache(self.content), False):
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def keep(self, trt: ModuleType, config: Any) -> None:
        """Remember the kernel times that a build has measured, so that the next one is faster."""
        if _kept_by(trt):
            self.content = bytes(config.get_timing_cache().serialize())


def _kept_by(trt: ModuleType) -> bool:
    return trt.__name__ != "tensorrt_rtx"
