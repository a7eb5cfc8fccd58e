from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from ftsdk import machine
from ftsdk.machine import cores, drivers, host_peak_mib, release_freed_memory


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_this_machine_has_cores_and_the_process_memory() -> None:
    assert cores() >= 1
    assert host_peak_mib() > 1


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the libc is not glibc")
def test_freed_memory_goes_back_to_the_system() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
    # Blocks too small for a mapping of their own; the last one pins the end of the heap.
    blocks = [libc.malloc(1000) for _ in range(60_000)]
    for block in blocks:
        ctypes.memset(block, 1, 1000)
    for block in blocks[:-1]:
        libc.free(block)
    before = _resident_mib()
    release_freed_memory()
    after = _resident_mib()
    libc.free(blocks[-1])
    assert before - after > 40


def test_a_library_that_is_mapped_is_told_with_its_size_and_time(tmp_path: Path) -> None:
    library, maps = tmp_path / "lib of a driver.so.1", tmp_path / "maps"
    library.write_bytes(b"abc")
    inside = Path(sys.prefix).resolve() / "lib/libpython.so"
    row = "7f00-7f01 r-xp 0000 fe:00 123                        "
    maps.write_text(f"{row}{library}\n{row}{inside}\n{row}/gone.so (deleted)\n{row}[stack]\n")
    first = drivers(maps)
    library.write_bytes(b"abcd")
    second = drivers(maps)
    assert first is not None
    assert second is not None
    assert [first[0], len(first), len(second)] == [second[0], 2, 2]
    assert first[1].startswith(f"{library} 3 ")
    assert second[1].startswith(f"{library} 4 ")
    assert drivers(tmp_path / "nothing") is None


def test_the_runtime_is_imported_without_unix_modules() -> None:
    code = "import sys; sys.modules['resource'] = None; import ftsdk.engines.onnxruntime"
    subprocess.run((sys.executable, "-c", code), check=True)


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx2 avx512_vnni", True), ("avx2 avx_vnni", True), ("avx2", False)]
)
def test_vnni_is_read_from_the_flags(
    flags: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        machine, "read_text", lambda _: f"model name : vnni fan\nflags\t\t: {flags}\n"
    )
    assert machine.has_vnni.__wrapped__() is expected


X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC
cpu MHz\t\t: {clock}
flags\t\t: avx2 {flag}

processor\t: 1
flags\t\t: avx2 {flag}
"""


def test_a_processor_is_known_by_its_instructions_and_not_by_its_clock(tmp_path: Path) -> None:
    def told(text: str) -> str | None:
        (path := tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
        return machine.processor.__wrapped__(path)

    first = told(X86.format(clock="2445.4", flag="fma"))
    assert first == f"{platform.machine()} | AuthenticAMD | 25 | 1 | AMD EPYC | avx2 fma"
    assert told(X86.format(clock="3100.0", flag="fma")) == first
    assert told(X86.format(clock="2445.4", flag="avx512_vnni")) != first
    arm = "BogoMIPS\t: 50.00\nFeatures\t: fp asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n"
    assert told(arm) == f"{platform.machine()} | fp asimddp | 0x41 | 0xd42"
    assert told("") is None
    assert machine.processor.__wrapped__(tmp_path / "nothing") is None
