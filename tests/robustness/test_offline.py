"""Nothing at import, load or run asks for a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

#: An audit hook sees every socket that Python makes, whoever makes it.
WITHOUT_NETWORK = """
import json, sys
used = []
def watch(event, arguments):
    if event.split(".")[0] in ("socket", "urllib", "http", "ftplib", "smtplib", "telnetlib"):
        used.append(event)
        raise PermissionError(event)
sys.addaudithook(watch)
import ftsdk
with ftsdk.Analyzer(sys.argv[1], device="cpu") as analyzer:
    result = analyzer.analyze(sys.argv[2])
    analyzer.refine(result, regions=["nose"])
    result.to_json(); result.save(sys.argv[3])
import socket
try:
    socket.socket()
except PermissionError:
    caught = True
print(json.dumps([result.report, used[:-1], caught]))
"""


def test_an_analysis_opens_no_socket(mini_bundle: Path, face: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, mini_bundle, face, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    report, used, caught = json.loads(done.stdout)
    assert report
    assert used == []
    assert caught
