"""Runs a command with an empty home and a guard that notes whatever leaves the machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Python imports a module of this name when it starts; this one notes what asks for a network, and
#: whether ONNX Runtime's telemetry was off when it was imported.
_SITE = """
import os, sys
LOOKS = ("socket.getaddrinfo", "socket.gethostbyname")
CONNECTS = ("socket.connect", "socket.sendto")
LOCAL = ("127.0.0.1", "::1", "localhost", "", None)
def note(line):
    with open(os.environ["GUARD_LOG"], "a") as log:
        log.write(line + "\\n")
def watch(event, arguments):
    if event in LOOKS and arguments[0] not in LOCAL:
        note(f"looked up {arguments[0]}")
    elif event in CONNECTS and isinstance(arguments[1], tuple) and arguments[1][0] not in LOCAL:
        note(f"connected to {arguments[1]}")
    elif event == "import" and arguments[0] == "onnxruntime":
        if os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
            note("onnxruntime was imported with its telemetry on")
sys.addaudithook(watch)
"""
_CONNECT = re.compile(r"sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|AF_INET6, )\"([^\"]*)\"")


#: Seconds after which a command hangs; an export on a busy machine is long under way before.
_LONGEST = 1200


@dataclass(frozen=True)
class Guard:
    """A home, a working directory and a directory for temporary files, all empty at first."""

    folder: Path

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """Return the command line, under strace where it may trace."""
        traced = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg"]
        traced += ["-o", str(self.folder / "trace")]
        return [*(traced if may_trace() else []), *map(str, arguments)]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a stranger's first hour: nothing is set that he did not set."""
        for name in ("home", "work", "tmp", "site"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "site" / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        return kept | {
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(self.folder / "site"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GUARD_LOG": str(self.folder / "log"),
            **more,
        }

    def run(self, entry: str, *arguments: str | Path, **environment: str) -> str:
        """Run a command by its entry point, `module:function`; return what it prints.

        It has to succeed.
        """
        with self.open([sys.executable, "-c", started(entry), *arguments], **environment) as child:
            try:
                printed, complained = child.communicate(timeout=_LONGEST)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)  # strace takes no child with it
                raise
        assert child.returncode == 0, printed + complained
        return printed

    def open(self, arguments: Sequence[str | Path], **environment: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            self.command(arguments),
            env=self.environment(**environment),
            cwd=self.folder / "work",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def findings(self) -> list[str]:
        """Return every look-up, connection and file that nobody asked for."""
        log = self.folder / "log"
        noted = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        trace = self.folder / "trace"
        traced = trace.read_text(encoding="utf-8").splitlines() if trace.exists() else []
        return [
            *noted,
            *(line for line in traced if _leaves(line)),
            *(
                str(path.relative_to(self.folder))
                for name in ("home", "work", "tmp")
                for path in sorted((self.folder / name).rglob("*"))
            ),
        ]


def started(entry: str) -> str:
    """Return the code that runs an entry point, `module:function`."""
    module, function = entry.split(":")
    return f"from {module} import {function}; {function}()"


@cache
def may_trace() -> bool:
    """Whether strace is here and may trace; a container often forbids it."""
    if not shutil.which("strace"):
        return False
    tried = subprocess.run(["strace", "-f", "-qq", "--seccomp-bpf", "true"], capture_output=True)
    return tried.returncode == 0


def _leaves(line: str) -> bool:
    """Whether a traced call has an address beyond this machine, or a name server's port."""
    found = _CONNECT.search(line)
    if not found:
        return False
    port, address = found.groups()
    return port == "53" or not (address.startswith(("127.", "::ffff:127.")) or address == "::1")
