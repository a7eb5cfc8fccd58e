"""A real Triton server, of the package nvidia-pytriton, in an environment of its own.

`python tests/support/triton.py` makes the environment and prints its folder: below the one that
runs this, with the packages of ft_export/triton/requirements.txt, and this checkout's ftsdk.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REQUIREMENTS = REPOSITORY / "export" / "ft_export" / "triton" / "requirements.txt"
#: Triton 2.51 with the Python back end alone, without CUDA; it links Python's shared library.
SERVER = "nvidia-pytriton==0.7.0"
#: Its gRPC client, and what that imports beside the model's packages.
CLIENT = ("tritonclient==2.73.0", "grpcio==1.85.3", "ml-dtypes==0.5.4", "python-rapidjson==1.25")
_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_LIBRARIES = sysconfig.get_config_var("LIBDIR")
_START_SECONDS = 300  # of a machine that has other work


def unavailable() -> str:
    """Return why no Triton server can run by this Python; empty where one can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "nvidia-pytriton is for Linux on x86-64"
    if sys.version_info >= (3, 13):
        return "its Triton needs NumPy 1, which is for Python 3.12 and earlier"
    name = f"libpython{_PYTHON}.so.1.0"
    try:
        ctypes.CDLL(str(beside) if (beside := Path(_LIBRARIES) / name).exists() else name)
    except OSError:
        return f"this Python has no {name}, which Triton links"
    return ""


def environment() -> Path:
    """Return the environment's folder; made where it is not, or of other packages."""
    folder = Path(sys.prefix) / "triton"
    others = f"{SERVER} {CLIENT} {_PYTHON}".encode()
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + others).hexdigest()
    stamp = folder / "made"
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder
    venv.create(folder, clear=True, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-compile"]
    subprocess.run([*install, "-r", str(REQUIREMENTS)], check=True)
    subprocess.run([*install, SERVER, *CLIENT], check=True)
    packages = site_packages(folder)
    (packages / "checkout.pth").write_text(str(REPOSITORY / "sdk"))
    server = packages / "pytriton" / "tritonserver"
    shutil.copytree(server / "backends", folder / "backends")
    stub = "triton_python_backend_stub"
    shutil.copy(server / "python_backend_stubs" / _PYTHON / stub, folder / "backends" / "python")
    stamp.write_text(wanted)
    return folder


def site_packages(folder: Path) -> Path:
    """Return where an environment's packages are."""
    return folder / "lib" / f"python{_PYTHON}" / "site-packages"


class TritonServer:
    """A server process on loopback, over HTTP and gRPC.

    Args:
        repository: its models; those that do not load leave it running.
        log: the file for what it says.
        http, grpc: free ports.
    """

    def __init__(self, repository: Path, log: Path, http: int, grpc: int) -> None:
        self.http, self.grpc = f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
        self._log = log
        home = environment()
        packages = site_packages(home)
        libraries = f"{packages / 'nvidia_pytriton.libs'}:{_LIBRARIES}"
        command = [
            str(packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            *("--model-repository", str(repository), "--backend-directory", str(home / "backends")),
            *("--http-address", "127.0.0.1", "--http-port", str(http)),
            *("--grpc-address", "127.0.0.1", "--grpc-port", str(grpc)),
            *("--allow-metrics", "false", "--exit-on-error", "false"),
        ]
        path = f"{home / 'bin'}:/usr/bin:/bin"
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, "PATH": path, "LD_LIBRARY_PATH": libraries},
                stdout=said,
                stderr=said,
                cwd=log.parent,
            )

    def wait_until_live(self) -> None:
        """Return once every model is loaded, or has failed to."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://{self.http}/v2/health/live", timeout=10).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"Triton does not answer: {self.log()}")

    def log(self) -> str:
        """Return the end of what it has said."""
        return self._log.read_text()[-4000:]

    def stop(self) -> int:
        """Ask the process to end and return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=60)


if __name__ == "__main__":
    reason = unavailable()
    print(f"Its tests will be skipped: {reason}." if reason else environment())
