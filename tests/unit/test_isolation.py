"""Decoding in another process: the same pictures, and no harm from what its decoder does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from picture_files import WAYS, encoded, oriented, png_of, save, scene
from PIL import Image

from ftsdk._pyinstaller import hook_directories
from ftsdk.analyzer import Analyzer
from ftsdk.cancellation import Cancellation
from ftsdk.errors import (
    AnalysisCancelledError,
    EngineRunError,
    ImageDamagedError,
    ImageFormatError,
    ImageLimitError,
    ImageSizeError,
    ImageTruncatedError,
    InstallationError,
    OptionError,
)
from ftsdk.imaging import isolation
from ftsdk.imaging.decode import Picture, decode
from ftsdk.imaging.decoder_process import LENGTH
from ftsdk.imaging.isolation import DecoderPool
from ftsdk.stopwatch import Stopwatch


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    with closing(DecoderPool()) as pool:
        yield pool


def _decode(pool: DecoderPool, source: Any, watch: Stopwatch | None = None) -> Picture:
    return decode(source, file_decoder=partial(pool.decode, watch=watch or Stopwatch()))


def _decoders() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "decoder_process" in " ".join(child.cmdline())]


def _seconds_long_jpeg() -> bytes:
    """Return a small file within the limits whose scans keep a decoder busy for seconds."""
    data = bytearray(save(Image.new("L", (16, 16), 100), "JPEG", progressive=True))
    at = data.index(b"\xff\xc2") + 5
    data[at : at + 4] = (10_000).to_bytes(2, "big") * 2
    scan = bytes(data[data.rindex(b"\xff\xda") : -2])
    return bytes(data[:-2]) + scan * 12 + b"\xff\xd9"


def test_pictures_are_the_same(pool: DecoderPool) -> None:
    turned = [oriented("JPEG", turn) for turn in range(1, 9)]
    for data in [*map(encoded, WAYS), *turned]:
        here, apart = decode(data), _decode(pool, data)
        np.testing.assert_array_equal(apart.pixels, here.pixels)
        assert (apart.sha256, apart.notes) == (here.sha256, here.notes)
        assert not apart.pixels.flags.writeable


def test_errors_are_the_same(pool: DecoderPool) -> None:
    bad = {
        b"no picture": ImageFormatError,
        encoded("png")[:-20]: ImageTruncatedError,
        png_of(64, 64): ImageDamagedError,
        png_of(20_000, 20_000): ImageSizeError,
    }
    for data, kind in bad.items():
        with pytest.raises(kind) as here:
            decode(data)
        with pytest.raises(kind) as apart:
            _decode(pool, data)
        assert str(apart.value) == str(here.value)
    assert len(_decoders()) == 1


def test_one_process_serves_one_thread_after_the_other(pool: DecoderPool) -> None:
    for _ in range(5):
        _decode(pool, encoded("jpeg"))
    assert len(_decoders()) == 1


def test_as_many_processes_as_threads(pool: DecoderPool) -> None:
    together = threading.Barrier(3)

    def work() -> None:
        together.wait()
        for _ in range(20):
            _decode(pool, encoded("png"))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(_decoders()) <= 3


def test_a_time_out_ends_decoding(pool: DecoderPool) -> None:
    _decode(pool, encoded("jpeg"))
    busy = _decoders()[0]
    start = time.monotonic()
    with pytest.raises(AnalysisCancelledError, match="time-out"):
        _decode(pool, _seconds_long_jpeg(), Stopwatch(timeout=0.3))
    assert time.monotonic() - start < 3
    assert not busy.is_running()
    assert _decode(pool, encoded("jpeg")).width == 128


def test_a_cancellation_ends_decoding(pool: DecoderPool) -> None:
    given_up = Cancellation()
    timer = threading.Timer(0.5, given_up.cancel)
    timer.start()
    with pytest.raises(AnalysisCancelledError, match="cancelled"):
        _decode(pool, _seconds_long_jpeg(), Stopwatch(cancellation=given_up))
    timer.join()
    assert _decode(pool, encoded("jpeg")).width == 128


@pytest.mark.parametrize("deed", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_is_the_pictures_error(pool: DecoderPool, deed: signal.Signals) -> None:
    _decode(pool, encoded("jpeg"))
    timer = threading.Timer(0.3, _decoders()[0].send_signal, [deed])
    timer.start()
    with pytest.raises(ImageDamagedError, match=deed.name):
        _decode(pool, _seconds_long_jpeg())
    timer.join()
    assert _decode(pool, encoded("jpeg")).width == 128


def test_a_process_that_died_idle_costs_no_picture(pool: DecoderPool) -> None:
    _decode(pool, encoded("jpeg"))
    dead = _decoders()[0]
    dead.kill()
    psutil.wait_procs([dead], timeout=10)
    assert _decode(pool, encoded("jpeg")).width == 128


def test_computing_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "CPU_SECONDS", 0)
    with closing(DecoderPool()) as pool, pytest.raises(ImageLimitError, match="computing"):
        _decode(pool, _seconds_long_jpeg())


def test_waiting_is_limited(monkeypatch: pytest.MonkeyPatch, pool: DecoderPool) -> None:
    _decode(pool, encoded("jpeg"))
    monkeypatch.setattr(isolation, "WALL_SECONDS", 0.3)
    with pytest.raises(ImageLimitError, match="none after"):
        _decode(pool, _seconds_long_jpeg())


def test_memory_is_limited() -> None:
    """The largest legal picture fits, and what its size does not explain does not."""
    script = """
import resource, sys
from picture_files import encoded
from ftsdk.imaging import decoder_process
decoder_process._limit(decoder_process._address_space(), encoded("png"), 10**8, 60)
try:
    bytearray(1 << 30)
except MemoryError:
    print("refused")
"""
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": tests}, capture_output=True, check=True
    )
    assert done.stdout == b"refused\n"


LIMITED = """
import ctypes, os, resource, sys
ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_RESOURCE
for limit, most in ((resource.RLIMIT_FSIZE, 100), (resource.RLIMIT_CPU, 300),
                    (resource.RLIMIT_AS, 1 << 36), (resource.RLIMIT_CORE, 0)):
    resource.setrlimit(limit, (most, most))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def test_limits_of_whoever_started_it_are_no_harm() -> None:
    """None of them can be raised again, not even by root."""
    script = """
from contextlib import closing
from functools import partial
from picture_files import encoded
from ftsdk.imaging.decode import decode
from ftsdk.imaging.isolation import DecoderPool
from ftsdk.stopwatch import Stopwatch
with closing(DecoderPool()) as pool:
    apart = decode(encoded("jpeg"), file_decoder=partial(pool.decode, watch=Stopwatch()))
    print(apart.pixels.shape)
"""
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", LIMITED, script]
    # Python itself takes a cut file of bytecode for a whole one.
    path = os.pathsep.join([tests, *sys.path])
    env = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    assert done.stdout.startswith(b"(")


@pytest.mark.slow
def test_the_largest_picture_fits_into_the_limit(pool: DecoderPool) -> None:
    data = save(Image.new("RGB", (10_000, 10_000)), "JPEG", progressive=True)
    assert _decode(pool, data).pixels.shape == (10_000, 10_000, 3)


def _framed(document: bytes) -> bytes:
    return LENGTH.pack(len(document)) + document


_SHAPED = b'{"shape":[64,64,3],"header":{"format":"PNG","width":64,"height":64},%s}'


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\1",
        b"\xff" * 100,
        _framed(b"no JSON"),
        _framed(b"[]"),
        _framed(b"1"),
        _framed(b'{"error": "EngineError", "parts": ["", "", "", ""]}'),
        _framed(b'{"error": "annotations", "parts": ["", "", "", ""]}'),
        _framed(b'{"error": "ImageFormatError", "parts": []}'),
        _framed(b'{"shape": [64, 64, 3], "header": {}}'),
        _framed(b'{"shape": [64, 64, 3], "header": {}, "damage": 1}'),
        _framed(_SHAPED % b'"damage": 1, "quality": 9'),
        _framed(_SHAPED % b'"damage": null, "quality": "9"'),
        _framed(_SHAPED % b'"damage": null, "quality": true'),
        _framed(b"[" * 60_000),
        _framed(b"[" * 100_000),
    ],
)
def test_no_answer_is_trusted(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"""
import socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
connection.sendall({_framed(b"{}")!r})
connection.recv(1 << 20)
connection.sendall({answer!r})
"""
    monkeypatch.setattr(isolation, "_START", script)
    with closing(DecoderPool()) as pool, pytest.raises(ImageDamagedError, match="crashed"):
        _decode(pool, encoded("jpeg"))


def test_a_process_that_does_not_start_is_no_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "_START", "import no_such_module")
    with closing(DecoderPool()) as pool, pytest.raises(InstallationError, match="exit code 1"):
        _decode(pool, encoded("jpeg"))
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(InstallationError, match="No such file"):
        DecoderPool()


def test_a_program_frozen_without_the_hooks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(OptionError, match="frozen"):
        DecoderPool()


def test_a_frozen_program_is_started_again_and_only_decodes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (hooks,) = hook_directories()
    hook = Path(hooks) / "rthooks" / "pyi_rth_ftsdk.py"
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport runpy\nrunpy.run_path({str(hook)!r})\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "ftsdk_decodes", True, raising=False)
    with closing(DecoderPool()) as pool:
        found = _decode(pool, encoded("png"))
    assert np.array_equal(found.pixels, decode(encoded("png")).pixels)


def test_closing_leaves_no_process_and_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with closing(DecoderPool()) as pool:
            pictures = [_decode(pool, encoded("jpeg")) for _ in range(10)]
        assert pictures[0].pixels.any()
    assert not _decoders()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    with pytest.raises(EngineRunError, match="closed"):
        _decode(pool, encoded("jpeg"))


def test_closing_ends_a_picture_under_way() -> None:
    with closing(DecoderPool()) as pool:
        threading.Timer(0.7, pool.close).start()
        with pytest.raises(EngineRunError, match="closed"):
            _decode(pool, _seconds_long_jpeg())
    assert not _decoders()


def test_a_forgotten_pool_leaves_no_process() -> None:
    pool = DecoderPool()
    _decode(pool, encoded("jpeg"))
    del pool
    assert not _decoders()


def _width(pool: DecoderPool) -> int:
    with closing(pool):
        return _decode(pool, encoded("jpeg")).width


def test_a_forked_child_starts_its_own(pool: DecoderPool) -> None:
    _decode(pool, encoded("jpeg"))
    with multiprocessing.get_context("fork").Pool(1) as workers:
        held = pool._lock
        with held:  # as another thread may when the fork comes
            answer = multiprocessing.get_context("fork").Pool(1, _keep, [pool])
        with answer:
            assert answer.apply_async(_width_of_kept).get(timeout=60) == 128
        del workers
    assert _decode(pool, encoded("jpeg")).width == 128


_KEPT: list[DecoderPool] = []


def _keep(pool: DecoderPool) -> None:
    _KEPT.append(pool)


def _width_of_kept() -> int:
    return _width(_KEPT[0])


def test_a_spawned_child_starts_its_own() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        assert workers.apply_async(_width_of_new).get(timeout=60) == 128


def _width_of_new() -> int:
    return _width(DecoderPool())


def test_a_killed_parent_leaves_no_process(tmp_path: Path) -> None:
    script = f"""
import sys, time
from functools import partial
from ftsdk.imaging.decode import decode
from ftsdk.imaging.isolation import DecoderPool
from ftsdk.stopwatch import Stopwatch
pool = DecoderPool()
decode({str(tmp_path / "a.png")!r}, file_decoder=partial(pool.decode, watch=Stopwatch()))
print("ready", flush=True)
time.sleep(60)
"""
    (tmp_path / "a.png").write_bytes(encoded("png"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        children = psutil.Process(parent.pid).children()
        parent.kill()
    assert children
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_the_analyzer_decodes_apart_where_asked_to() -> None:
    pixels = scene(200, 160)
    data = save(Image.fromarray(pixels), "PNG")
    with Analyzer(device="cpu", isolate_decoding=True) as analyzer:
        apart = analyzer.analyze(data, report=False)
        assert len(_decoders()) == 1
        with pytest.raises(AnalysisCancelledError):
            analyzer.analyze(_seconds_long_jpeg(), report=False, timeout=0.5)
    assert not _decoders()
    with Analyzer(device="cpu") as analyzer:
        here = analyzer.analyze(data, report=False)
        assert not _decoders()
    np.testing.assert_array_equal(apart.probabilities, here.probabilities)
