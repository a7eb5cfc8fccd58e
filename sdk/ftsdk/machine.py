"""What this machine is: processor, GPUs, Jetson release, power mode, memory. None is unknown."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_GPU_FIELDS = ("name", "driver_version", "clocks.sm", "clocks.mem", "power.limit", "pstate")
_L4T = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")
#: What `/proc/cpuinfo` says of a kind of processor, on x86 and on Arm.
_PROCESSOR = (
    "vendor_id|cpu family|model|model name|stepping|flags|Features"
    "|CPU (?:implementer|architecture|variant|part)"
)
#: JetPack by the major version of the L4T release under it.
_JETPACKS = {"32": "4", "35": "5", "36": "6", "38": "7"}


@dataclass(frozen=True)
class Printed:
    """A command's standard output; `failure` says why it did not work, or is empty."""

    text: str
    failure: str


def cpu_name() -> str:
    """Return the processor's name, or the board's."""
    lines = (read_text(Path("/proc/cpuinfo")) or "").splitlines()
    # Arm kernels say no model name; a board does in its device tree.
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return (names or [board() or platform.machine()])[0]


def board() -> str | None:
    """Return what the device tree calls this board, as Jetsons do."""
    return (read_text(Path("/proc/device-tree/model")) or "").rstrip("\0") or None


def cores() -> int:
    """Return how many cores this process may use."""
    known = hasattr(os, "sched_getaffinity")  # not on macOS, not on Windows
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def is_x86() -> bool:
    """Return whether this processor is of Intel's and AMD's 64-bit kind."""
    return platform.machine().lower() in ("x86_64", "amd64")


@cache
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return maker, model and instructions of the first core, in one line; None if unknown."""
    first = (read_text(cpuinfo) or "").split("\n\n", 1)[0]
    # Clocks, core numbers and the like differ from one moment, or core, to the next.
    told = re.findall(rf"^(?:{_PROCESSOR})\s*:\s*(.*)$", first, re.M)
    return " | ".join((platform.machine(), *told)) if told else None


@cache
def has_vnni() -> bool:
    """Return whether this x86 processor multiplies 8-bit numbers into 32-bit sums."""
    return re.search(r"^flags\s*:.*vnni", read_text(Path("/proc/cpuinfo")) or "", re.M) is not None


def megahertz() -> list[float] | None:
    """Return each core's clock, MHz."""
    lines = (read_text(Path("/proc/cpuinfo")) or "").splitlines()
    clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return clocks or None


def governor() -> str | None:
    """Return by which rule the first core's clock is set."""
    return read_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))


def gpus() -> list[dict[str, str]]:
    """Return name, driver, clocks, power limit and state of every GPU that `nvidia-smi` sees."""
    query = f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"
    rows = (output("nvidia-smi", *query) or "").splitlines()
    return [dict(zip(_GPU_FIELDS, row.split(", "), strict=False)) for row in rows]


def l4t(release: Path = Path("/etc/nv_tegra_release")) -> str | None:
    """Return a Jetson's L4T release and the JetPack that it belongs to: `36.4.3 (JetPack 6)`."""
    found = _L4T.match(read_text(release) or "")
    if found is None:
        return None
    jetpack = _JETPACKS.get(found[1])
    return f"{found[1]}.{found[2]}" + (f" (JetPack {jetpack})" if jetpack else "")


def power_mode() -> str | None:
    """Return a Jetson's power mode, as `nvpmodel -q` has it."""
    return output("nvpmodel", "-q")


def host_peak_mib() -> float:
    """Return this process' largest resident memory so far, MiB."""
    import resource  # there is none on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def device_mib() -> float | None:
    """Return the GPU memory of this process, MiB; None without an NVIDIA GPU that tells."""
    query = "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"
    rows = (output("nvidia-smi", *query) or "").splitlines()
    used = [row.split(",")[1] for row in rows if row.split(",")[0].strip() == str(os.getpid())]
    return float(used[0]) if used and used[0].strip().isdigit() else None


def read_text(path: Path) -> str | None:
    """Return a file's text without the white space around it."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def output(command: str, *arguments: str) -> str | None:
    """Return what a command prints; None where it is missing, or fails and says so on stderr."""
    printed = run((command, *arguments))
    if printed is None:
        return None
    if printed.failure:
        print(f"{command}: {printed.failure}", file=sys.stderr)
        return None
    return printed.text


def run(command: Sequence[str]) -> Printed | None:
    """Run a command for at most 10 s; None where there is no such command."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Printed("", str(error))
    said = f"{done.stdout}\n{done.stderr}".strip()
    failure = (said or f"exit code {done.returncode}") if done.returncode else ""
    return Printed(done.stdout.strip(), failure)


def drivers(maps: Path = Path("/proc/self/maps")) -> tuple[str, ...] | None:
    """Return the kernel, and each library outside Python's folders that this process has mapped.

    With a library's size and time, so that another driver in its place is told from it. None where
    the system does not say what is mapped.
    """
    lines = (read_text(maps) or "").splitlines()
    paths = {line[line.index("/") :] for line in lines if "/" in line and ".so" in line}
    ours = tuple(f"{Path(one).resolve()}{os.sep}" for one in (sys.prefix, sys.base_prefix))
    found = []
    for path in sorted(path for path in paths if not path.startswith(ours)):
        with contextlib.suppress(OSError):  # it was deleted since: an upgrade under way
            status = Path(path).stat()
            found.append(f"{path} {status.st_size} {status.st_mtime_ns}")
    return (f"{platform.system()} {platform.release()}", *found) if lines else None


def release_freed_memory() -> None:
    """Give memory that the process has freed back to the system, where the C library is glibc."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
