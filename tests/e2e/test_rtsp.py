"""A real RTSP stream, that dies, comes back and dies again."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import pytest
from conftest import REPOSITORY

import ftsdk
from ftsdk.analyzer import Analyzer
from ftsdk.errors import SourceError
from ftsdk.streaming.options import WatchOptions
from ftsdk.streaming.watching import watch_with

SERVER = REPOSITORY / "tests" / "support" / "rtsp_server.py"
PICTURE = REPOSITORY / "examples" / "pictures" / "portrait_forged.jpg"


class Camera:
    """The RTSP server as a process that can be killed and started again at its old port."""

    def __init__(self) -> None:
        self.port = "0"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            (sys.executable, SERVER, PICTURE, self.port), stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        with self._process.stdout as said:
            self.address = said.readline().strip()
        self.port = self.address.split(":")[-1].split("/")[0]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def test_a_camera_that_dies_is_tried_again_and_then_reported() -> None:
    camera = Camera()
    try:
        with Analyzer(device="cpu") as analyzer:
            answers = watch_with(
                analyzer, camera.address, WatchOptions(retries=2, retry_wait=1.5, timeout=3.0)
            )
            with closing(answers):
                first = next(answers)
                assert isinstance(first, ftsdk.FrameMasked)
                assert first.result.mask.shape == (512, 512)
                assert first.result.mask.any()
                camera.kill()
                camera.start()
                seen = first.frame.index
                resumed = [next(answers) for _ in range(20)]
                assert resumed[-1].frame.index > seen
                camera.kill()
                with pytest.raises(SourceError, match=camera.port):
                    list(answers)
    finally:
        camera.kill()
